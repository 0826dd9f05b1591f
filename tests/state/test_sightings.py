"""
Tests of the names that pointed to another server at their last daily checks.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from certworker.state.sightings import SIGHTINGS, Sighting, Sightings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def after(*hours: float) -> Sighting:
    """
    Return the sighting after checks at these *hours*.
    """
    sighting = None
    for each in hours:
        sighting = Sighting.after(sighting, "192.0.2.1", NOW + each * HOUR)
    assert sighting
    return sighting


class TestSighting:
    @pytest.mark.parametrize(
        ("hours", "final"),
        [
            ((0,), False),
            ((0, 24), False),
            ((0, 24, 48), True),
            ((0, 24.2, 47.8), True),
            ((0, 12, 24, 36), False),
            ((0, 24, 65), False),
            ((0, 24, 65, 89, 113), True),
            ((0, 48), False),
            ((0, 24, 48, 72), True),
            ((0, 24, 12), False),
        ],
        ids=str,
    )
    def test_three_days_in_a_row_are_final(self, hours: tuple[float, ...], final: bool) -> None:
        """
        Only three consecutive days without a gap are final. A clock that jumps back starts again.
        """
        assert final is after(*hours).is_final


class TestSightings:
    def test_a_sighting_is_stored_until_it_is_forgotten(self, connection: Redis) -> None:
        """
        The list has only names that point elsewhere.
        """
        sightings = Sightings(connection)
        sightings.put("a.org", after(0, 24, 48))
        sightings.put("b.org", after(0))

        assert {"a.org": after(0, 24, 48), "b.org": after(0)} == sightings.read_many(
            ["a.org", "b.org", "c.org"]
        )
        assert {"a.org"} == sightings.moved(["a.org", "b.org", "c.org"])
        sightings.forget("a.org", "c.org")
        assert ["b.org"] == list(sightings.read_many(["a.org", "b.org"]))

    def test_thousands_of_names_are_read_in_batches(self, connection: Redis) -> None:
        """
        The names of several commands are complete.
        """
        sightings, names = Sightings(connection), [f"shop{number}.org" for number in range(1_200)]
        for name in names:
            sightings.put(name, after(0))

        assert names == list(sightings.read_many(names))

    @pytest.mark.parametrize(
        "entry",
        [
            b"",
            b"[]",
            b"\xff",
            b'{"checks": 3}',
            b'{"checks": -1, "first": "2026-11-23T12:00:00Z", "last": "2026-11-25T12:00:00Z"}',
            b'{"checks": 3, "first": "now", "last": "2026-11-25T12:00:00Z"}',
            b'{"checks": 3, "first": "2026-11-23T12:00:00Z", "last": 7}',
            b"x" * 5_000,
        ],
    )
    def test_an_invalid_entry_counts_as_lost(self, connection: Redis, entry: bytes) -> None:
        """
        Any program may write to Redis. An invalid entry does not prevent an order.
        """
        connection.hset(SIGHTINGS, "a.org", entry)

        assert {} == Sightings(connection).read_many(["a.org"])
        assert frozenset() == Sightings(connection).moved(["a.org"])

    def test_what_was_found_is_printable_and_bounded(self, connection: Redis) -> None:
        """
        The records of a hostile name server cannot fill Redis, the log or a terminal.
        """
        sightings = Sightings(connection)
        sightings.put("a.org", Sighting(1, NOW, NOW, "\x1b[31m" + "x" * 10_000))

        found = sightings.read_many(["a.org"])["a.org"].found
        assert found.isprintable()
        assert len(found) <= 500
