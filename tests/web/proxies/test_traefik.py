"""
Tests of the configuration for Traefik's HTTP provider.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from certworker.errors.fs import VolumeFault
from certworker.storage.certificate_store import CertificateStore
from certworker.web.proxies import traefik
from certworker.web.proxies.traefik import TraefikConfiguration
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store

OTHER = "blog.example.com"


def certificates_of(proxy: FlaskClient) -> set[tuple[str, str]]:
    """
    Return the pairs of chain and key in the configuration.
    """
    entries = json.loads(proxy.get("/proxies/traefik").data).get("tls", {}).get("certificates", [])
    assert all(entry.keys() == {"certFile", "keyFile"} for entry in entries)
    pairs = [(entry["certFile"], entry["keyFile"]) for entry in entries]
    assert len(pairs) == len(set(pairs))
    return set(pairs)


def pair_of(volume: CertificateStore, name: str) -> tuple[str, str]:
    """
    Return the chain and the key of *name* on the volume.
    """
    stored = volume.current(name)
    assert stored is not None
    return stored.certificate.fullchain_pem.decode(), stored.certificate.key.pem.decode()


class TestConfiguration:
    def test_it_follows_the_volume(
        self, proxy: FlaskClient, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        It has each certificate once, after an issuance, a renewal and a removal.
        """
        assert set() == certificates_of(proxy)
        store(volume, signer.certificate(NAME, "www.example.com"))
        store(volume, signer.certificate(OTHER))
        assert {pair_of(volume, NAME), pair_of(volume, OTHER)} == certificates_of(proxy)
        store(volume, signer.certificate(OTHER), token=2)
        assert {pair_of(volume, NAME), pair_of(volume, OTHER)} == certificates_of(proxy)
        volume.remove(OTHER)
        assert {pair_of(volume, NAME)} == certificates_of(proxy)

    def test_it_is_compressed_for_clients_that_accept_it(
        self, proxy: FlaskClient, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        Traefik accepts gzip, which makes the body smaller. curl gets plain JSON.
        """
        store(volume, signer.certificate(NAME))
        plain = proxy.get("/proxies/traefik")
        compressed = proxy.get("/proxies/traefik", headers={"Accept-Encoding": "gzip"})
        declined = proxy.get("/proxies/traefik", headers={"Accept-Encoding": "gzip;q=0"})

        assert "gzip" == compressed.headers["Content-Encoding"]
        assert plain.data == gzip.decompress(compressed.data) == declined.data
        assert len(compressed.data) < len(plain.data)
        assert "no-store" == plain.headers["Cache-Control"]

    def test_it_is_built_once_for_each_change(
        self, tmp_path: Path, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A poll without a change builds nothing.
        """
        configuration = TraefikConfiguration()
        store(volume, signer.certificate(NAME))
        first = configuration.current(volume)

        assert first is configuration.current(volume)
        store(volume, signer.certificate(NAME), token=2)
        assert first.version != configuration.current(volume).version

    def test_a_damaged_certificate_is_left_out(
        self,
        proxy: FlaskClient,
        volume: CertificateStore,
        signer: Signer,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        A damaged certificate affects no other one, and the log has one warning about it.
        """
        damaged = store(volume, signer.certificate(NAME))
        store(volume, signer.certificate(OTHER))
        (damaged.directory / "fullchain.pem").write_bytes(b"no PEM")

        assert {pair_of(volume, OTHER)} == certificates_of(proxy)
        store(volume, signer.certificate(OTHER), token=2)
        assert {pair_of(volume, OTHER)} == certificates_of(proxy)
        assert 1 == len([record for record in caplog.records if record.levelname == "WARNING"])

    def test_a_short_fault_leaves_out_no_certificate(
        self, proxy: FlaskClient, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        While a key cannot be read, Traefik gets an error and continues with its last configuration. A lasting
        fault leaves out this certificate only.
        """
        now = 1000.0
        configuration = TraefikConfiguration(lambda: now)
        faulty = store(volume, signer.certificate(NAME))
        store(volume, signer.certificate(OTHER))
        key = faulty.directory / "privkey.pem"
        content = key.read_bytes()
        key.unlink()
        key.symlink_to(key.name)  # the kernel reports a loop

        assert 500 == proxy.get("/proxies/traefik").status_code
        with pytest.raises(VolumeFault):
            configuration.current(volume)
        now += traefik.PATIENCE_SECONDS
        assert 1 == configuration.current(volume).count
        key.unlink()
        key.write_bytes(content)

        assert 2 == configuration.current(volume).count
        assert {pair_of(volume, NAME), pair_of(volume, OTHER)} == certificates_of(proxy)

    def test_too_many_names_are_refused_with_other_ways(
        self,
        proxy: FlaskClient,
        volume: CertificateStore,
        signer: Signer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        Above the limit, a problem document has the number, the limit and other ways.
        """
        store(volume, signer.certificate(NAME, OTHER, "www.example.com"))
        monkeypatch.setattr(traefik, "MOST_NAMES", 2)
        response = proxy.get("/proxies/traefik")
        document = json.loads(response.data)

        assert (409, "application/problem+json") == (response.status_code, response.content_type)
        assert "The volume has 3 names, but this configuration can have at most 2." == document["detail"]
        assert "file provider" in document["remedy"]
