"""
Tests of the issuers from the settings.
"""

from __future__ import annotations

from pathlib import Path

from redis import Redis

from tests.app_fixture import open_app
from tests.servers.faulty_authority import FaultyAuthority


class TestIssuers:
    def test_each_ca_has_one_issuer_in_the_order_of_the_setting(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        Each CA has one issuer, in the order of the setting, and gets no request at the start.
        """
        wanted = "letsencrypt, https://ca.example.org/directory,LetsEncrypt"
        with open_app(
            tmp_path, connection, app_authority.directory_url, http_port, CERTWORKER_AUTHORITY=wanted
        ) as app:
            labels = [(issuer.ca.label, issuer.staging and issuer.staging.ca.label) for issuer in app.issuers]

        assert [("letsencrypt", "letsencrypt-staging"), ("ca.example.org", None)] == labels
        assert [] == app_authority.requests

    def test_the_responder_answers_for_all_issuers_and_their_staging_environments(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The responder uses the account key of the CA that belongs to the token.
        """
        with open_app(
            tmp_path,
            connection,
            app_authority.directory_url,
            http_port,
            CERTWORKER_AUTHORITY="letsencrypt,https://ca.example.org/directory",
        ) as app:
            first, second = app.issuers
            assert first.staging is not None
            for issuer in (first, second, first.staging):
                app.tokens.remember("token", authority=issuer.ca.label, name="shop.localhost")

                assert f"token.{issuer.client.thumbprint}" == app.responder.answer("token")

    def test_each_ca_has_its_own_account_directory(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        Each CA and each staging environment has its own account key and directory.
        """
        with open_app(
            tmp_path, connection, app_authority.directory_url, http_port, CERTWORKER_AUTHORITY="letsencrypt"
        ) as app:
            issuer = app.issuers[0]
            assert issuer.staging is not None

            assert issuer.client.thumbprint != issuer.staging.client.thumbprint
        assert {"letsencrypt", "letsencrypt-staging"} == {
            path.name for path in (tmp_path / "state" / "accounts").iterdir()
        }
