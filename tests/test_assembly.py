"""
The house from the settings.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from redis import Redis

from certworker.assembly import House
from certworker.challenges.webroot import Webroot
from certworker.development.authority import DevelopmentAuthority
from certworker.ledger.tokens import LIFETIME
from tests.houses import open_house


class TestBuild:
    def test_every_room_gets_what_the_settings_say(self, house: House) -> None:
        """
        One place decides who knows whom.
        """
        assert house.volume.directory == house.settings.certificates_dir
        assert house.traefik.directory == house.settings.config_dir
        assert any(isinstance(solver, Webroot) for solver in house.desks[0].solvers)

    def test_the_answer_of_any_replica_is_the_same(self, house: House) -> None:
        """
        It is computed from the account's key, which all of them share.
        """
        house.tokens.remember("token", authority=house.desks[0].authority.label, name="shop.localhost")

        assert f"token.{house.desks[0].authority.thumbprint}" == house.responder.answer("token")

    def test_tokens_have_the_clock_of_all_others(
        self, tmp_path: Path, connection: Redis, door_authority: DevelopmentAuthority, http_port: int
    ) -> None:
        """
        A simulated year ends tokens as well.
        """
        now = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
        with open_house(
            tmp_path, connection, door_authority.directory_url, http_port, clock=lambda: now
        ) as house:
            house.tokens.remember("token", authority="a", name="shop.localhost")

            assert now + LIFETIME == house.tokens.all()["token"].expires

    def test_metrics_know_names_and_queue(self, house: House) -> None:
        """
        What Prometheus sees comes from the same rooms as `certworker status`.
        """
        house.issuer.issue(("shop.localhost",))
        shown = house.metrics.render().decode()

        assert "certworker_queue_jobs 0.0" in shown
        assert 'state="valid"' in shown
