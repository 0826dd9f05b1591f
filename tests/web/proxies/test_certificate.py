"""
Tests of the certificate for a server name, which a client of the proxy chooses.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certworker.storage.certificate_store import CertificateStore
from certworker.web.proxies.certificate import key_pair_for, name_in
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store, write_plain_files

WILDCARD = "*.apps.example.com"


def get(proxy: FlaskClient, server_name: str, **more: str) -> tuple[int, bytes]:
    """
    Return the status and the body of the call for *server_name*.
    """
    response = proxy.get("/proxies/certificate", query_string={"server_name": server_name, **more})
    return response.status_code, response.data


@pytest.fixture
def expected(volume: CertificateStore, signer: Signer) -> dict[str, bytes]:
    """
    Store a certificate for a name, a wildcard and an address; return the expected body for each.
    """
    return {
        name: certificate.fullchain_pem + certificate.key.pem
        for name in (NAME, WILDCARD, "xn--mller-kva.example", "127.0.0.1")
        if (certificate := store(volume, signer.certificate(name)).certificate)
    }


class TestCertificate:
    @pytest.mark.parametrize(
        ("server_name", "name"),
        [
            (NAME, NAME),
            (NAME.upper(), NAME),
            (f"{NAME}.", NAME),
            ("müller.example", "xn--mller-kva.example"),
            ("xn--mller-kva.example", "xn--mller-kva.example"),
            ("one.apps.example.com", WILDCARD),
            ("One.Apps.example.com.", WILDCARD),
            (WILDCARD, WILDCARD),
            ("127.0.0.1", "127.0.0.1"),
        ],
    )
    def test_a_name_gets_its_certificate_and_key(
        self, proxy: FlaskClient, expected: dict[str, bytes], server_name: str, name: str, tmp_path: Path
    ) -> None:
        """
        The body has the certificate, its chain and its key, in every spelling of the name.
        """
        status, body = get(proxy, server_name)
        (tmp_path / "pair.pem").write_bytes(body)

        assert (200, expected[name]) == (status, body)
        ssl.create_default_context().load_cert_chain(tmp_path / "pair.pem")

    @pytest.mark.parametrize(
        "server_name",
        [
            "other.example.com",
            "apps.example.com",
            "two.labels.apps.example.com",
            "*.example.com",
            "example.com",
            "",
            ".",
            "..",
            "../certificates",
            ".certworker",
            "_.apps.example.com",
            "127.0.0.2",
            "[::1]",
            "fe80::1%eth0",
            "shop.example.com:443",
            "https://shop.example.com/",
            "shop.example.com\x00",
            "shop.example.com\r\nX: y",
            "a" * 64 + ".example.com",
            "a." * 5_000,
            "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        ],
    )
    def test_an_unknown_name_gets_204(
        self, proxy: FlaskClient, expected: dict[str, bytes], server_name: str
    ) -> None:
        """
        A proxy then uses another certificate. A text that is no name is unknown as well.
        """
        assert (204, b"") == get(proxy, server_name)

    def test_without_a_server_name_the_address_decides(
        self, proxy: FlaskClient, expected: dict[str, bytes]
    ) -> None:
        """
        A client that visits an IP address sends no server name, and Caddy sends the address as well.
        """
        assert (200, expected["127.0.0.1"]) == get(proxy, "", local_ip="127.0.0.1")
        assert (204, b"") == get(proxy, "other.example.com", local_ip="127.0.0.1")

    @pytest.mark.parametrize("query", ["", "server_name=a.example&server_name=b.example", "domain=a.example"])
    def test_a_call_has_exactly_one_server_name(self, proxy: FlaskClient, query: str) -> None:
        """
        A call without a server name, or with two, is an error of the proxy.
        """
        response = proxy.get(f"/proxies/certificate?{query}")

        assert 400 == response.status_code
        assert "server_name" in response.text

    def test_a_renewal_and_a_removal_take_effect_immediately(
        self, proxy: FlaskClient, volume: CertificateStore, signer: Signer, expected: dict[str, bytes]
    ) -> None:
        """
        The next call gets the renewed certificate, and 204 after the removal.
        """
        renewed = store(volume, signer.certificate(NAME), token=2).certificate

        assert (200, renewed.fullchain_pem + renewed.key.pem) == get(proxy, NAME)
        volume.remove(NAME)
        assert 204 == get(proxy, NAME)[0]

    def test_files_of_another_program_count(
        self, proxy: FlaskClient, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        The certificate of another program is delivered as well, if it is complete.
        """
        certificate = signer.certificate("old.example.com")
        directory = write_plain_files(volume, "old.example.com", certificate)

        assert (200, certificate.fullchain_pem + certificate.key.pem) == get(proxy, "old.example.com")
        (directory / "privkey.pem").write_bytes(signer.certificate("x.example").key.pem)
        assert 204 == get(proxy, "old.example.com")[0]

    def test_a_damaged_certificate_is_an_error(
        self, proxy: FlaskClient, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A damaged file is an error of this name, so that Caddy logs it. Other names are not affected.
        """
        damaged = store(volume, signer.certificate(NAME))
        store(volume, signer.certificate("blog.example.com"))
        (damaged.directory / "privkey.pem").write_bytes(b"")
        response = proxy.get(f"/proxies/certificate?server_name={NAME}")

        assert (500, "application/problem+json") == (response.status_code, response.content_type)
        assert 200 == get(proxy, "blog.example.com")[0]


class TestHostileNames:
    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.one_of(st.text(max_size=300), st.from_regex(r"[a-zA-Z0-9*_.:\-\[\]%]{1,300}", fullmatch=True)))
    def test_no_text_leads_outside_of_the_volume(self, volume: CertificateStore, text: str) -> None:
        """
        Any text is a name of this empty volume, without a certificate, or no name.
        """
        name = name_in(text)

        assert name is None or key_pair_for(volume, name) is None
