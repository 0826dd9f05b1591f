"""
The house from the settings.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from redis import Redis

from certworker.app import App
from certworker.challenges.tokens import LIFETIME
from certworker.challenges.webroot import Webroot
from certworker.devca.authority import DevelopmentAuthority
from tests.app_fixture import open_app


class TestBuild:
    def test_every_room_gets_what_the_settings_say(self, app: App) -> None:
        """
        One place decides who knows whom.
        """
        assert app.certificates.directory == app.settings.certificates_dir
        assert app.traefik.directory == app.settings.config_dir
        assert any(isinstance(solver, Webroot) for solver in app.issuers[0].solvers)

    def test_the_answer_of_any_replica_is_the_same(self, app: App) -> None:
        """
        It is computed from the account's key, which all of them share.
        """
        app.tokens.remember("token", authority=app.issuers[0].client.label, name="shop.localhost")

        assert f"token.{app.issuers[0].client.thumbprint}" == app.responder.answer("token")

    def test_tokens_have_the_clock_of_all_others(
        self, tmp_path: Path, connection: Redis, door_authority: DevelopmentAuthority, http_port: int
    ) -> None:
        """
        A simulated year ends tokens as well.
        """
        now = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
        with open_app(
            tmp_path, connection, door_authority.directory_url, http_port, clock=lambda: now
        ) as app:
            app.tokens.remember("token", authority="a", name="shop.localhost")

            assert now + LIFETIME == app.tokens.all()["token"].expires

    def test_metrics_know_names_and_queue(self, app: App) -> None:
        """
        What Prometheus sees comes from the same rooms as `certworker status`.
        """
        app.issuance.issue(("shop.localhost",))
        shown = app.metrics.render().decode()

        assert "certworker_queue_jobs 0.0" in shown
        assert 'state="valid"' in shown
