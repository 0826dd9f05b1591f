"""
What the worker does between jobs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from certworker.app import App
from certworker.challenges.challenge import Http01Challenge
from certworker.devca.authority import DevelopmentAuthority
from certworker.errors.config import EmailMissing
from certworker.renewal.agenda import AGENDA, COMPARED
from certworker.storage.links import Links
from certworker.supervision import Heartbeat, Postponed
from certworker.supervision.heartbeats import beats_are_those_of
from certworker.worker.maintenance import MaintenanceLoop
from tests.servers.worker import wait_until


def watch(app: App, asked: list[tuple[str, ...]], knocks: list[Http01Challenge]) -> MaintenanceLoop:
    """
    A watch that notes what it requests, and for whom it knocks at port 80.
    """

    def knock(answer: Http01Challenge) -> bool:
        knocks.append(answer)
        return app.responder.answer(answer.token) == answer.key_authorization

    return MaintenanceLoop(app, asked.append, knock)


class TestStart:
    def test_own_domains_are_requested_once_port_80_answers(self, app: App) -> None:
        """
        An order before Traefik routes the challenge would fail, and count.
        """
        asked: list[tuple[str, ...]] = []
        knocks: list[Http01Challenge] = []
        settings = app.settings.model_copy(update={"domains": ("main.localhost", "not a name")})
        watching = watch(replace(app, settings=settings), asked, knocks)
        watching.start()
        wait_until(lambda: asked or None, lambda: "nothing was requested")
        watching.stop()

        assert [("main.localhost",)] == asked
        assert ["main.localhost"] == [answer.name for answer in knocks]

    def test_answers_of_a_dead_worker_are_taken_away_and_those_of_a_living_one_stay(self, app: App) -> None:
        """
        A lock that is held says that an order waits for the CA; a check of port 80 is over in a minute.
        """
        for token in ("dead", "alive"):
            app.tokens.remember(token, authority=app.issuers[0].client.label, name=f"{token}.localhost")
        later = app.clock() + timedelta(minutes=2)
        watching = watch(app, [], [])
        with app.locks.hold(["alive.localhost"]):
            watching._leftovers()
            assert {"dead", "alive"} == set(app.tokens.all())

            watching.app = replace(app, clock=lambda: later)
            watching._leftovers()
            assert {"alive"} == set(app.tokens.all())

    def test_a_place_that_cannot_be_cleaned_costs_the_others_nothing(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Each has its own line in the log.
        """
        leftover = app.traefik.directory / ".certworker" / "0123456789abcdef.tmp"
        leftover.parent.mkdir(exist_ok=True)
        leftover.write_text("half a file")
        os.utime(leftover, (time.time() - 120,) * 2)
        keys = app.settings.state_dir / "orders" / app.issuers[0].ca.label
        keys.parent.mkdir()
        keys.write_text("a file where a directory belongs")

        watch(app, [], [])._leftovers()

        assert "[fs.io]" in caplog.text
        assert not leftover.exists()

    def test_a_start_with_other_settings_tries_again_what_needs_them(self, app: App) -> None:
        """
        A person has followed the remedy, and the worker starts once more.
        """
        name, later = "shop.localhost", app.clock() + timedelta(hours=20)
        app.records.record_failed([name], EmailMissing(), next_check=later, now=app.clock())
        app.agenda.put(name, later)
        changed = app.settings.model_copy(update={"newer_email": "ops@shop.dev"})
        for settings, requested in ((app.settings, 0), (app.settings, 0), (changed, 1)):
            watching = watch(replace(app, settings=settings), [], [])
            watching._retry_after_a_change()

            assert requested == app.reconciler.enqueue_due()["requested"]

    def test_rounds_follow_the_shortest_life_and_the_work_that_they_are(
        self, app: App, door_authority: DevelopmentAuthority
    ) -> None:
        """
        A certificate of 15 minutes is seen more than once in its life, but 50,000 names are not read all day.
        """
        watching = watch(app, [], [])
        watching._report_overdue()
        assert 0.8 * 3600 <= watching._pause(1) <= 3600

        door_authority.lifetime = timedelta(minutes=15)
        app.issuance.issue(("shop.localhost",))
        watching._report_overdue()
        assert 0.8 * 60 <= watching._pause(1) <= 60
        assert 0.8 * 300 <= watching._pause(30) <= 300

    def test_volume_and_agenda_are_compared(self, app: App) -> None:
        """
        Whatever Redis lost is back soon after a start.
        """
        app.issuance.issue(("shop.localhost",))
        app.connection.flushall()
        watching = watch(app, [], [])
        watching.start()
        wait_until(lambda: "shop.localhost" in app.agenda or None, lambda: "still missing")
        watching.stop()


class TestForgotten:
    def test_a_redis_that_was_emptied_gets_its_agenda_back(self, app: App) -> None:
        """
        Not within the hour, but as soon as it is seen to be empty.
        """
        app.issuance.issue(("shop.localhost",))
        app.connection.flushall()
        watch(app, [], [])._check_agenda()

        assert "shop.localhost" in app.agenda

    @pytest.mark.parametrize("lost", ["everything", "the agenda"])
    def test_a_loss_is_noticed_whatever_was_written_since(self, app: App, lost: str) -> None:
        """
        A request may come first. The names that the volume has are back with the next check, not in an hour.
        """
        names = [f"{number}.localhost" for number in range(3)]
        for name in names:
            app.issuance.issue((name,))
        observed = watch(app, [], [])
        observed._check_agenda()
        if lost == "everything":
            app.connection.flushall()
            written = 5
        else:
            app.connection.delete(AGENDA)
            written = 1
        moment = app.clock() + timedelta(hours=1)
        app.agenda.put_many({f"new{number}.localhost": moment for number in range(written)})
        observed._check_agenda()

        assert [] == app.agenda.missing(names)

    def test_an_interrupted_comparison_is_made_again(self, app: App) -> None:
        """
        Redis is emptied while the volume is read: the end of that comparison proves nothing.
        """
        app.agenda.begin_comparison()
        app.connection.flushall()
        app.agenda.extend_comparison()
        app.agenda.finish_comparison()

        assert not app.agenda.is_complete()

    def test_a_comparison_that_ended_is_not_repeated(self, app: App) -> None:
        """
        The check is made every ten seconds; it reads the volume only after a loss.
        """
        app.issuance.issue(("shop.localhost",))
        observed = watch(app, [], [])
        observed._check_agenda()
        # Not on the agenda, but not lost: only a comparison would bring it back.
        app.agenda.remove("shop.localhost")
        app.agenda.put("other.localhost", app.clock() + timedelta(hours=1))
        observed._check_agenda()

        assert "shop.localhost" not in app.agenda
        assert -1 == app.connection.ttl(COMPARED)

    def test_a_moment_that_nobody_came_for_is_seen_to(self, app: App) -> None:
        """
        The scheduler of a worker that died keeps its lock for a minute.
        """
        app.agenda.put("shop.localhost", app.clock() - timedelta(seconds=10))
        watch(app, [], [])._check_agenda()

        assert 1 == len(app.priority_queues)


class TestRound:
    def test_an_error_in_one_duty_does_not_cost_the_others(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A reconciliation that fails does not keep what is due from its renewal, and is tried again.
        """
        app.agenda.put("shop.localhost", app.clock() - timedelta(seconds=10))
        broken = [True]

        class BrokenLinks(Links):
            def orphaned(self) -> Iterator[str]:
                if broken[0]:
                    raise ValueError("odd")
                return super().orphaned()

        app.certificates.links.__class__ = BrokenLinks
        watching = watch(app, [], [])
        with pytest.raises(Postponed):
            watching._maintain()
        assert 1 == len(app.priority_queues)
        assert "unexpected error in the reconciliation" in caplog.text

        with pytest.raises(Postponed):
            watching._maintain()
        broken[0], watching._next_round = False, 0.0
        assert watching._maintain() > 0

    def test_long_rounds_beat_with_each_certificate(self, app: App) -> None:
        """
        100,000 names take minutes, which is no stall.
        """
        beats: list[str] = []

        class Counting(Heartbeat):
            def beat(self) -> None:
                beats.append(self.name)

        names = [f"shop{number}.localhost" for number in range(5)]
        for name in names:
            app.issuance.issue((name,))
        beats_are_those_of(Counting("maintenance"))
        try:
            counts = []
            for duty in (
                app.reconciler.reconcile,
                app.expiry_alerts.log,
                lambda: app.certificates.prune(app.traefik.served_generations()),
            ):
                beats.clear()
                duty()
                counts.append(len(beats))
        finally:
            beats_are_those_of(None)

        assert min(counts) >= len(names), counts
