"""
Tests of the keys that only the first writer within a time can set.
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
    Return a log with one line an hour.
    """
    return OncePer(connection, LOGGED, HOUR)


class TestOncePer:
    def test_only_the_first_call_within_the_time_succeeds(self, connection: Redis) -> None:
        """
        Only the first call within the time sets the key, and each subject has its own key.
        """
        once = once_an_hour(connection)

        assert [True, False] == [once.first("x", "me"), once.first("x", "you")]
        assert b"me" == connection.get(KEY)
        assert 3_500_000 < connection.pttl(KEY) <= 3_600_000
        assert once.first("y")

    @pytest.mark.parametrize("kind", PLANT)
    def test_a_key_without_expiry_counts_as_expired(self, connection: Redis, kind: str) -> None:
        """
        A key without expiry counts as expired, regardless of its type.
        """
        PLANT[kind](connection, KEY)

        assert [True, False] == [once_an_hour(connection).first("x") for _ in range(2)]

    def test_a_key_with_a_later_expiry_counts_as_expired(self, connection: Redis) -> None:
        """
        A key with a later expiry than a call can set counts as expired.
        """
        connection.set(KEY, "x", ex=timedelta(days=3_650))

        assert [True, False] == [once_an_hour(connection).first("x") for _ in range(2)]

    def test_a_key_with_an_earlier_expiry_counts(self, connection: Redis) -> None:
        """
        A key with an earlier expiry counts, because another worker has set it.
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
        The key of a doubt or of a log line expires within a day.
        """
        OncePer(connection, prefix, ttl).first("shop.org")

        left = timedelta(seconds=int(str(connection.ttl(f"{prefix}shop.org"))))
        assert least <= left <= timedelta(days=1)


class TestBoundExpiry:
    @pytest.mark.parametrize("planted", [None, timedelta(days=1)])
    def test_a_missing_or_later_expiry_is_replaced(
        self, connection: Redis, planted: timedelta | None
    ) -> None:
        """
        A missing or later expiry is replaced with the limit.
        """
        connection.set(KEY, "x", ex=planted)

        assert bound_expiry(connection, KEY, HOUR)

        assert 3_500_000 < connection.pttl(KEY) <= 3_600_000

    def test_an_earlier_expiry_is_unchanged(self, connection: Redis) -> None:
        """
        An earlier expiry is unchanged.
        """
        connection.set(KEY, "x", ex=60)

        assert bound_expiry(connection, KEY, HOUR)

        assert connection.pttl(KEY) <= 60_000

    def test_a_missing_key_is_not_written(self, connection: Redis) -> None:
        """
        A missing key is not written, and the result is false.
        """
        assert not bound_expiry(connection, KEY, HOUR)
