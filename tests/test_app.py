"""
The composition root.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from redis import Redis

from certworker.app import App, validity_in_service
from certworker.challenges.tokens import LIFETIME
from certworker.challenges.webroot import Webroot
from tests.app_fixture import open_app
from tests.servers.faulty_authority import FaultyAuthority


class TestBuild:
    def test_components_get_their_settings(self, app: App) -> None:
        """
        Each directory of the settings reaches the component that uses it.
        """
        assert app.certificates.directory == app.settings.certificates_dir
        assert app.traefik.directory == app.settings.config_dir
        assert any(isinstance(solver, Webroot) for solver in app.issuers[0].solvers)

    def test_the_responder_answers_with_the_thumbprint_of_the_account(self, app: App) -> None:
        """
        The responder answers with the thumbprint of the account key, which all replicas share.
        """
        app.tokens.remember("token", authority=app.issuers[0].client.label, name="shop.localhost")

        assert f"token.{app.issuers[0].client.thumbprint}" == app.responder.answer("token")

    def test_tokens_use_the_clock_of_the_app(
        self, tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        A token expires by the clock of the app, not by the clock of the machine.
        """
        now = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
        with open_app(tmp_path, connection, app_authority.directory_url, http_port, clock=lambda: now) as app:
            app.tokens.remember("token", authority="a", name="shop.localhost")

            assert now + LIFETIME == app.tokens.all()["token"].expires

    def test_metrics_report_certificates_and_queue(self, app: App) -> None:
        """
        The metrics contain the state of each certificate and the number of queued jobs.
        """
        app.issuance.issue(("shop.localhost",))
        shown = app.metrics.render().decode()

        assert "certworker_queue_jobs 0.0" in shown
        assert 'state="valid"' in shown


class TestValidityInService:
    def test_any_spelling_of_a_name_finds_its_certificate(self, app: App) -> None:
        """
        A name in any case finds its certificate. Other names and texts find none.
        """
        app.issuance.issue(("shop.localhost",))
        metadata = app.certificates.metadata("shop.localhost")

        assert metadata
        assert metadata.validity == validity_in_service(app.certificates, "Shop.LOCALHOST")
        assert validity_in_service(app.certificates, "https://shop.localhost/") is None
        assert validity_in_service(app.certificates, "other.localhost") is None
