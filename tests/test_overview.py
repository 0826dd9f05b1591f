"""
How each name stands, from three sources that may each know nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from certworker.assembly import House
from certworker.errors import CertworkerError
from certworker.ledger.agenda import AGENDA
from certworker.ledger.record import RECORDS
from certworker.overview import Standing, standing, standings

NAME = "shop.localhost"


def stand(house: House, name: str, after: timedelta = timedelta(0)) -> Standing:
    """
    How *name* stands, *after* some time.
    """
    return standing(name, house.agenda, house.records, house.volume, house.clock() + after)


class TestStanding:
    @pytest.mark.parametrize(
        ("after", "state"),
        [(timedelta(0), "valid"), (timedelta(days=80), "due"), (timedelta(days=91), "expired")],
    )
    def test_the_state_of_a_certificate_is_its_age(self, house: House, after: timedelta, state: str) -> None:
        """
        What is due and what has expired must be seen without anybody having looked.
        """
        house.issuer.issue((NAME,))

        assert state == stand(house, NAME, after).state

    def test_a_failure_is_told_with_its_remedy_while_the_old_certificate_serves_on(
        self, house: House
    ) -> None:
        """
        Days left decide how urgent it is, the remedy what to do.
        """
        house.issuer.issue((NAME,))
        with pytest.raises(CertworkerError):
            house.issuer.issue((NAME, "nowhere.invalid"))
        told = stand(house, NAME)

        assert "failed" == told.state
        assert told.code
        assert told.remedy
        assert (told.days_left(house.clock()) or 0) > 80

    def test_an_emptied_redis_does_not_hide_a_certificate(self, house: House) -> None:
        """
        The volume is the truth.
        """
        house.issuer.issue((NAME,))
        house.connection.flushall()

        assert "valid" == stand(house, NAME).state

    def test_a_name_without_anything_is_missing(self, house: House) -> None:
        """
        And not an error of ours.
        """
        assert "missing" == stand(house, NAME).state


class TestStandings:
    def test_all_names_of_the_agenda_in_alphabetical_order(self, house: House) -> None:
        """
        Pages are only pages if the order stays.
        """
        for name in ("b.localhost", "a.localhost"):
            house.issuer.issue((name,))
        rows = standings(house.agenda, house.records, house.volume, house.clock())

        assert ["a.localhost", "b.localhost"] == [row.name for row in rows]

    def test_one_name_that_cannot_be_read_hides_no_other(self, house: House) -> None:
        """
        A record that another program wrote and files of a newer certworker are the failure of their name.
        """
        for name in ("a.localhost", "b.localhost", "c.localhost"):
            house.issuer.issue((name,))
        record: dict[Any, Any] = {
            "state": "failed",
            "updated": "2026-01-01T00:00:00Z",
            "attempts": "9" * 5_000,
        }
        house.connection.hset(RECORDS + "a.localhost", mapping=record)
        house.connection.zadd(AGENDA, dict.fromkeys(["../../etc/passwd", "", "x" * 300, "a\nb.org"], 9e9))
        directory = house.volume.links.leads_to("b.localhost")
        assert directory
        (directory / "meta.json").write_text('{"schema": 99}')

        rows = list(standings(house.agenda, house.records, house.volume, house.clock()))

        assert [("a.localhost", "failed", 0), ("b.localhost", "failed", 0), ("c.localhost", "valid", 0)] == [
            (row.name, row.state, row.attempts) for row in rows
        ]
        assert "ledger.schema" == rows[1].code

    def test_a_life_of_no_length_has_nothing_left(self, house: House) -> None:
        """
        A certificate may begin when it ends; somebody else put it on the volume.
        """
        house.issuer.issue((NAME,))
        one = stand(house, NAME)

        assert 0.0 == replace(one, not_before=one.not_after).share_left(house.clock())
