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

from certworker.answer import Answer
from certworker.assembly import House
from certworker.beside.watch import Watch
from certworker.development.authority import DevelopmentAuthority
from certworker.errors.configuration import EmailMissing
from certworker.ledger.agenda import AGENDA, COMPARED
from certworker.serving.links import Links
from certworker.supervision import Heartbeat, Postponed
from certworker.supervision.heartbeats import beats_are_those_of
from tests.servers.worker import wait_until


def watch(house: House, asked: list[tuple[str, ...]], knocks: list[Answer]) -> Watch:
    """
    A watch that notes what it requests, and for whom it knocks at port 80.
    """

    def knock(answer: Answer) -> bool:
        knocks.append(answer)
        return house.responder.answer(answer.token) == answer.key_authorization

    return Watch(house, asked.append, knock)


class TestStart:
    def test_own_domains_are_requested_once_port_80_answers(self, house: House) -> None:
        """
        An order before Traefik routes the challenge would fail, and count.
        """
        asked: list[tuple[str, ...]] = []
        knocks: list[Answer] = []
        settings = house.settings.model_copy(update={"domains": ("main.localhost", "not a name")})
        watching = watch(replace(house, settings=settings), asked, knocks)
        watching.start()
        wait_until(lambda: asked or None, lambda: "nothing was requested")
        watching.stop()

        assert [("main.localhost",)] == asked
        assert ["main.localhost"] == [answer.name for answer in knocks]

    def test_answers_of_a_dead_worker_are_taken_away_and_those_of_a_living_one_stay(
        self, house: House
    ) -> None:
        """
        A lock that is held says that an order waits for the CA; a check of port 80 is over in a minute.
        """
        for token in ("dead", "alive"):
            house.tokens.remember(token, authority=house.desks[0].authority.label, name=f"{token}.localhost")
        later = house.clock() + timedelta(minutes=2)
        watching = watch(house, [], [])
        with house.locks.hold(["alive.localhost"]):
            watching._leftovers()
            assert {"dead", "alive"} == set(house.tokens.all())

            watching.house = replace(house, clock=lambda: later)
            watching._leftovers()
            assert {"alive"} == set(house.tokens.all())

    def test_a_place_that_cannot_be_cleaned_costs_the_others_nothing(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Each has its own line in the log.
        """
        leftover = house.traefik.directory / ".certworker" / "0123456789abcdef.tmp"
        leftover.parent.mkdir(exist_ok=True)
        leftover.write_text("half a file")
        os.utime(leftover, (time.time() - 120,) * 2)
        keys = house.settings.state_dir / "orders" / house.desks[0].choice.label
        keys.parent.mkdir()
        keys.write_text("a file where a directory belongs")

        watch(house, [], [])._leftovers()

        assert "[fs.io]" in caplog.text
        assert not leftover.exists()

    def test_a_start_with_other_settings_tries_again_what_needs_them(self, house: House) -> None:
        """
        A person has followed the remedy, and the worker starts once more.
        """
        name, later = "shop.localhost", house.clock() + timedelta(hours=20)
        house.records.failed([name], EmailMissing(), next_look=later, now=house.clock())
        house.agenda.put(name, later)
        changed = house.settings.model_copy(update={"newer_email": "ops@shop.dev"})
        for settings, requested in ((house.settings, 0), (house.settings, 0), (changed, 1)):
            watching = watch(replace(house, settings=settings), [], [])
            watching._retry_after_a_change()

            assert requested == house.rounds.look()["requested"]

    def test_rounds_follow_the_shortest_life_and_the_work_that_they_are(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        A certificate of 15 minutes is seen more than once in its life, but 50,000 names are not read all day.
        """
        watching = watch(house, [], [])
        watching._report_overdue()
        assert 0.8 * 3600 <= watching._pause(1) <= 3600

        door_authority.lifetime = timedelta(minutes=15)
        house.issuer.issue(("shop.localhost",))
        watching._report_overdue()
        assert 0.8 * 60 <= watching._pause(1) <= 60
        assert 0.8 * 300 <= watching._pause(30) <= 300

    def test_volume_and_agenda_are_compared(self, house: House) -> None:
        """
        Whatever Redis lost is back soon after a start.
        """
        house.issuer.issue(("shop.localhost",))
        house.connection.flushall()
        watching = watch(house, [], [])
        watching.start()
        wait_until(lambda: "shop.localhost" in house.agenda or None, lambda: "still missing")
        watching.stop()


class TestForgotten:
    def test_a_redis_that_was_emptied_gets_its_agenda_back(self, house: House) -> None:
        """
        Not within the hour, but as soon as it is seen to be empty.
        """
        house.issuer.issue(("shop.localhost",))
        house.connection.flushall()
        watch(house, [], [])._see_to_the_agenda()

        assert "shop.localhost" in house.agenda

    @pytest.mark.parametrize("lost", ["everything", "the agenda"])
    def test_a_loss_is_noticed_whatever_was_written_since(self, house: House, lost: str) -> None:
        """
        A request may come first. The names that the volume has are back with the next check, not in an hour.
        """
        names = [f"{number}.localhost" for number in range(3)]
        for name in names:
            house.issuer.issue((name,))
        observed = watch(house, [], [])
        observed._see_to_the_agenda()
        if lost == "everything":
            house.connection.flushall()
            written = 5
        else:
            house.connection.delete(AGENDA)
            written = 1
        moment = house.clock() + timedelta(hours=1)
        house.agenda.put_many({f"new{number}.localhost": moment for number in range(written)})
        observed._see_to_the_agenda()

        assert [] == house.agenda.missing(names)

    def test_an_interrupted_comparison_is_made_again(self, house: House) -> None:
        """
        Redis is emptied while the volume is read: the end of that comparison proves nothing.
        """
        house.agenda.comparing()
        house.connection.flushall()
        house.agenda.still_comparing()
        house.agenda.compared()

        assert not house.agenda.is_compared()

    def test_a_comparison_that_ended_is_not_repeated(self, house: House) -> None:
        """
        The check is made every ten seconds; it reads the volume only after a loss.
        """
        house.issuer.issue(("shop.localhost",))
        observed = watch(house, [], [])
        observed._see_to_the_agenda()
        # Not on the agenda, but not lost: only a comparison would bring it back.
        house.agenda.remove("shop.localhost")
        house.agenda.put("other.localhost", house.clock() + timedelta(hours=1))
        observed._see_to_the_agenda()

        assert "shop.localhost" not in house.agenda
        assert -1 == house.connection.ttl(COMPARED)

    def test_a_moment_that_nobody_came_for_is_seen_to(self, house: House) -> None:
        """
        The scheduler of a worker that died keeps its lock for a minute.
        """
        house.agenda.put("shop.localhost", house.clock() - timedelta(seconds=10))
        watch(house, [], [])._see_to_the_agenda()

        assert 1 == len(house.lanes)


class TestRound:
    def test_an_error_in_one_duty_does_not_cost_the_others(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A reconciliation that fails does not keep what is due from its renewal, and is tried again.
        """
        house.agenda.put("shop.localhost", house.clock() - timedelta(seconds=10))
        broken = [True]

        class BrokenLinks(Links):
            def deserted(self) -> Iterator[str]:
                if broken[0]:
                    raise ValueError("odd")
                return super().deserted()

        house.volume.links.__class__ = BrokenLinks
        watching = watch(house, [], [])
        with pytest.raises(Postponed):
            watching._maintain()
        assert 1 == len(house.lanes)
        assert "unexpected error in the reconciliation" in caplog.text

        with pytest.raises(Postponed):
            watching._maintain()
        broken[0], watching._next_round = False, 0.0
        assert watching._maintain() > 0

    def test_long_rounds_beat_with_each_certificate(self, house: House) -> None:
        """
        100,000 names take minutes, which is no stall.
        """
        beats: list[str] = []

        class Counting(Heartbeat):
            def beat(self) -> None:
                beats.append(self.name)

        names = [f"shop{number}.localhost" for number in range(5)]
        for name in names:
            house.issuer.issue((name,))
        beats_are_those_of(Counting("maintenance"))
        try:
            counts = []
            for duty in (
                house.rounds.reconcile,
                house.overdue.tell,
                lambda: house.volume.prune(house.traefik.served()),
            ):
                beats.clear()
                duty()
                counts.append(len(beats))
        finally:
            beats_are_those_of(None)

        assert min(counts) >= len(names), counts
