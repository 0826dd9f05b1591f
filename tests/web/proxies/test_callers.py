"""
Tests of the access of proxies: private keys leave only by a token with the role `proxy`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from certworker.settings.web import USER_ROLES, TrustedHeader
from certworker.storage.certificate_store import CertificateStore
from certworker.web.proxies import callers
from tests.storage.authority import Signer
from tests.storage.stored import NAME, store
from tests.web.application import bearer, client_with, create_token, log_in, open_application
from tests.web.proxies.conftest import ApplicationWith, ClientOf

CERTIFICATE = f"/proxies/certificate?server_name={NAME}"
KEY_ROUTES = (CERTIFICATE, "/proxies/traefik")


@pytest.fixture(autouse=True)
def stored(volume: CertificateStore, signer: Signer) -> None:
    """
    Store a certificate.
    """
    store(volume, signer.certificate(NAME))


class TestAccess:
    @pytest.mark.parametrize("role", USER_ROLES)
    def test_no_role_of_a_user_gets_a_key(self, client_of: ClientOf, role: str) -> None:
        """
        Not even an administrator gets a private key, with a token or with a session.
        """
        client = client_of(role)

        for path in KEY_ROUTES:
            response = client.get(path)
            assert (403, "application/problem+json") == (response.status_code, response.content_type)
            assert "PRIVATE" not in response.text

    def test_the_open_page_of_this_machine_is_no_token(self, application_with: ApplicationWith) -> None:
        """
        A page that needs no token on this machine still needs one for keys.
        """
        client = application_with().test_client()
        local = {"base_url": "http://localhost:8081"}

        assert 200 == client.get("/names", **local).status_code
        for path in KEY_ROUTES:
            response = client.get(path, **local)
            assert 401 == response.status_code
            assert "certworker token create --role proxy" in response.text

    def test_a_session_and_a_header_of_a_proxy_are_no_token(
        self, application_with: ApplicationWith, tmp_path: Path
    ) -> None:
        """
        A browser that is logged in with the token of a proxy gets no key. Neither does a user of a header.
        """
        tokens = tmp_path / "tokens.json"
        browser = log_in(application_with(), create_token(tokens, "proxy"))
        user = open_application(tokens, header=TrustedHeader("Remote-User", "admin")).test_client()

        assert 401 == browser.get(CERTIFICATE).status_code
        assert 401 == user.get(CERTIFICATE, headers={"Remote-User": "alice"}).status_code

    @pytest.mark.parametrize(
        "header", ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via", "X-Real-IP"]
    )
    def test_a_forwarded_call_is_refused(
        self, application_with: ApplicationWith, tmp_path: Path, header: str
    ) -> None:
        """
        If a proxy routes these paths to the public, no one gets a key, even with the right token.
        """
        token = create_token(tmp_path / "tokens.json", "proxy")
        response = application_with().test_client().get(CERTIFICATE, headers={**bearer(token), header: "x"})

        assert 403 == response.status_code

    def test_the_password_of_basic_authentication_is_the_token(
        self, application_with: ApplicationWith, tmp_path: Path
    ) -> None:
        """
        Caddy sends the user and the password of its URL. The user does not matter.
        """
        client = application_with().test_client()
        token = create_token(tmp_path / "tokens.json", "proxy")

        assert 200 == client.get(CERTIFICATE, auth=("caddy", token)).status_code
        assert 200 == client.get(CERTIFICATE, auth=("", token)).status_code
        assert 401 == client.get(CERTIFICATE, auth=("caddy", f"{token}x")).status_code
        assert 401 == client.get(CERTIFICATE, auth=(token, "")).status_code
        assert 401 == client.get(CERTIFICATE, headers={"Authorization": "Basic \xff"}).status_code
        assert 303 == client.get("/names", auth=("caddy", token)).status_code

    def test_guesses_lock_their_address_out(self, application_with: ApplicationWith) -> None:
        """
        Wrong tokens lock their address out, as on the page.
        """
        client = application_with().test_client()
        statuses = [client.get(CERTIFICATE, auth=("caddy", "guess")).status_code for _ in range(6)]

        assert [401] * 5 + [429] == statuses

    def test_a_proxy_sees_nothing_else(self, client_of: ClientOf) -> None:
        """
        The token of a proxy opens neither the page nor the API.
        """
        client = client_of("proxy")

        assert [403, 403, 403] == [
            client.get(path).status_code for path in ("/", "/api/v1/names", f"/names/{NAME}")
        ]

    def test_a_call_over_the_limit_is_refused(
        self, application_with: ApplicationWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A proxy that calls too often gets 429 with the seconds to wait.
        """
        monkeypatch.setattr(callers, "BURST", 2)
        # A call in 100 seconds: the bucket does not fill while the test runs.
        monkeypatch.setattr(callers, "CALLS_PER_SECOND", 0.01)
        client = client_with(application_with(), create_token(tmp_path / "tokens.json", "proxy"))
        responses = [client.get(CERTIFICATE) for _ in range(3)]

        assert [200, 200, 429] == [response.status_code for response in responses]
        assert 0 < int(responses[-1].headers["Retry-After"]) <= 100


class TestAudit:
    def test_each_key_is_logged_once_for_each_caller(
        self,
        client_of: ClientOf,
        volume: CertificateStore,
        signer: Signer,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """
        The log names the token, the address and the name, once for each certificate, and never the key.
        """
        first, second = client_of("proxy"), client_of("proxy")
        with caplog.at_level(logging.INFO):
            for client in (first, first, second):
                client.get(CERTIFICATE)
            store(volume, signer.certificate(NAME), token=2)
            first.get(CERTIFICATE)
        lines = [record for record in caplog.records if record.name == callers.__name__]

        assert 3 == len(lines)
        assert lines[0].getMessage().endswith(f"from 127.0.0.1 gets the private key of {NAME}")
        assert 2 == len({record.__dict__["fields"]["identity"] for record in lines})
        assert "PRIVATE" not in caplog.text

    def test_its_memory_is_bounded(self, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A full memory of deliveries is cleared, so a later delivery may be logged again.
        """
        monkeypatch.setattr(callers, "MOST_DELIVERIES", 1)
        client = client_of("proxy")

        assert [200, 200, 200] == [client.get(path).status_code for path in (*KEY_ROUTES, CERTIFICATE)]
