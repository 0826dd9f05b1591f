"""
Tests of the issuers from the settings.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from certworker.errors.rate import Paused
from certworker.issuance.issuer_factory import resume_orders
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


class TestResumeOrders:
    def test_only_the_ca_that_paused_a_name_loses_its_pending_order(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The pending order at the CA that paused the name is removed with its key. That at another CA stays.
        """
        names, wanted = ("shop.localhost",), "letsencrypt,https://ca.example.org/directory"
        with open_app(
            tmp_path, connection, app_authority.directory_url, http_port, CERTWORKER_AUTHORITY=wanted
        ) as app:
            for issuer in app.issuers:
                url, expires = f"https://{issuer.ca.label}/order", app.clock() + timedelta(days=1)
                issuer.pending_orders.orders.save(names, url, expires=expires, reserved=True)
                issuer.pending_orders.keys.make(url)
            first, second = app.issuers
            paused = Paused(authority="the CA", name=names[0], url="https://ca.example/unpause")
            with pytest.raises(Paused), second.budget.reserve(names, exempt=False, renewal=False):
                raise paused
            assert resume_orders(app.settings, connection, app.certificates, names)

            assert first.pending_orders.find(names) is not None
            assert second.pending_orders.find(names) is None
            assert [1, 0] == [
                len(list(tmp_path.glob(f"state/orders/{each.ca.label}/*.pem"))) for each in app.issuers
            ]
            assert not resume_orders(app.settings, connection, app.certificates, names)
            assert first.pending_orders.find(names) is not None
