"""
Keys of which the first writer within a time wins.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis import Redis

from certworker.state.once_per import DOUBT_TTL, DOUBTS, LOGGED, LOGGED_TTL, OncePer, bound_expiry
from tests.redis.test_keys import PLANT

KEY = f"{LOGGED}x"
HOUR = timedelta(hours=1)


def once_an_hour(connection: Redis) -> OncePer:
    """
    Return the log lines of one hour.
    """
    return OncePer(connection, LOGGED, HOUR)


class TestOncePer:
    def test_the_first_call_wins_for_a_time(self, connection: Redis) -> None:
        """
        The key has the value of the first call, and expires. Another subject has its own key.
        """
        once = once_an_hour(connection)

        assert [True, False] == [once.first("x", "me"), once.first("x", "you")]
        assert b"me" == connection.get(KEY)
        assert 3_500_000 < connection.pttl(KEY) <= 3_600_000
        assert once.first("y")

    @pytest.mark.parametrize("kind", PLANT)
    def test_a_key_without_expiry_counts_as_expired(self, connection: Redis, kind: str) -> None:
        """
        Whatever its type is.
        """
        PLANT[kind](connection, KEY)

        assert [True, False] == [once_an_hour(connection).first("x") for _ in range(2)]

    def test_a_key_with_a_later_expiry_counts_as_expired(self, connection: Redis) -> None:
        """
        An expiry in ten years would block as long.
        """
        connection.set(KEY, "x", ex=timedelta(days=3_650))

        assert [True, False] == [once_an_hour(connection).first("x") for _ in range(2)]

    def test_a_key_with_an_earlier_expiry_counts(self, connection: Redis) -> None:
        """
        Another worker was first.
        """
        connection.set(KEY, "x", ex=timedelta(minutes=1))

        assert not once_an_hour(connection).first("x")

    @pytest.mark.parametrize(
        ("prefix", "ttl", "least"),
        [(DOUBTS, DOUBT_TTL, timedelta(hours=23)), (LOGGED, LOGGED_TTL, timedelta(hours=22))],
    )
    def test_doubts_and_log_lines_last_about_a_day(
        self, connection: Redis, prefix: str, ttl: timedelta, least: timedelta
    ) -> None:
        """
        The CA is asked again the next day, and an overdue certificate is in the log of each day.
        """
        OncePer(connection, prefix, ttl).first("shop.org")

        left = timedelta(seconds=int(str(connection.ttl(f"{prefix}shop.org"))))
        assert least <= left <= timedelta(days=1)


class TestBoundExpiry:
    @pytest.mark.parametrize("planted", [None, timedelta(days=1)])
    def test_a_later_expiry_becomes_an_earlier_one(
        self, connection: Redis, planted: timedelta | None
    ) -> None:
        """
        The key exists until then.
        """
        connection.set(KEY, "x", ex=planted)

        assert bound_expiry(connection, KEY, HOUR)

        assert 3_500_000 < connection.pttl(KEY) <= 3_600_000

    def test_an_earlier_expiry_stays(self, connection: Redis) -> None:
        """
        The writer chose it.
        """
        connection.set(KEY, "x", ex=60)

        assert bound_expiry(connection, KEY, HOUR)

        assert connection.pttl(KEY) <= 60_000

    def test_it_writes_no_key(self, connection: Redis) -> None:
        """
        The result shows that there is none.
        """
        assert not bound_expiry(connection, KEY, HOUR)
