"""
The rounds: nothing that is due stays undone, nothing that Redis lost stays lost.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from certworker.assembly import House
from certworker.development.authority import DevelopmentAuthority
from certworker.intake.queue import queue_length

NAME = "shop.localhost"


class TestLook:
    def test_a_certificate_that_is_not_due_gets_its_next_look(self, house: House) -> None:
        """
        Most looks end so, and none of them costs a job.
        """
        house.issuer.issue((NAME,))
        house.agenda.put(NAME, house.clock() - timedelta(seconds=1))

        assert {"looked": 1, "requested": 0} == house.rounds.look()
        moment = house.agenda.moment(NAME)
        assert moment is not None
        assert moment > house.clock()
        assert 0 == queue_length(house.connection)

    def test_a_certificate_that_is_due_becomes_a_job(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        This is how renewal begins.
        """
        door_authority.lifetime = timedelta(seconds=2)
        house.issuer.issue((NAME,))
        later = house.clock() + timedelta(days=1)
        rounds = replace(house.rounds, clock=lambda: later)

        assert {"looked": 1, "requested": 1} == rounds.look()
        assert 1 == queue_length(house.connection)

    def test_all_names_of_a_certificate_are_requested_together_and_once(self, house: House) -> None:
        """
        Each of them stands on the agenda, but there is one certificate.
        """
        names = (NAME, f"www.{NAME}")
        house.issuer.issue(names)
        later = house.clock() + timedelta(days=80)
        rounds = replace(house.rounds, clock=lambda: later)

        assert {"looked": 2, "requested": 1} == rounds.look()

    def test_a_job_that_gets_lost_is_missed_after_a_while(self, house: House) -> None:
        """
        Redis may evict a job; the name stands on the agenda until a certificate is there.
        """
        house.agenda.put("new.localhost", house.clock() - timedelta(seconds=1))
        house.rounds.look()
        moment = house.agenda.moment("new.localhost")

        assert moment is not None
        assert timedelta(0) < moment - house.clock() <= timedelta(minutes=15)


class TestReconcile:
    def test_what_only_the_volume_remembers_comes_back(self, house: House) -> None:
        """
        An emptied Redis loses nothing.
        """
        for number in range(3):
            house.issuer.issue((f"shop{number}.localhost",))
        house.connection.flushall()

        assert 3 == house.rounds.reconcile()
        assert 3 == len(house.agenda)

    def test_it_goes_on_behind_the_name_where_it_was_interrupted(self, house: House) -> None:
        """
        A volume with 50,000 names should not be begun again and again.
        """
        for number in range(3):
            house.issuer.issue((f"shop{number}.localhost",))
        house.connection.flushall()

        assert 1 == house.rounds.reconcile(after="shop1.localhost")

    def test_what_the_agenda_knows_is_left_alone(self, house: House) -> None:
        """
        Its moments may say more than the volume: an attempt after a failure, for one.
        """
        outcome = house.issuer.issue((NAME,))
        house.rounds.reconcile()
        moment = house.agenda.moment(NAME)

        assert moment is not None
        assert outcome.next_look.timestamp() == pytest.approx(moment.timestamp())
