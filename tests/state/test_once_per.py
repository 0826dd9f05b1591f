"""
The first of all workers within a time, whatever stands there.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis import Redis

from certworker.state.once_per import Once, bound_expiry
from tests.redis.test_keys import PLANT

KEY = "certworker:said:x"
HOUR = timedelta(hours=1)


class TestOnce:
    def test_the_first_one_wins_for_a_time(self, connection: Redis) -> None:
        """
        The key has the value of the first, and expires.
        """
        once = Once(connection, HOUR)

        assert [True, False] == [once.first(KEY, "me"), once.first(KEY, "you")]
        assert b"me" == connection.get(KEY)
        assert 3_500_000 < connection.pttl(KEY) <= 3_600_000

    @pytest.mark.parametrize("kind", PLANT)
    def test_a_key_without_end_counts_as_expired(self, connection: Redis, kind: str) -> None:
        """
        Whatever its type is.
        """
        PLANT[kind](connection, KEY)

        assert [True, False] == [Once(connection, HOUR).first(KEY) for _ in range(2)]

    def test_a_key_with_a_later_end_counts_as_expired(self, connection: Redis) -> None:
        """
        Ten years are as bad as no end.
        """
        connection.set(KEY, "x", ex=timedelta(days=3_650))

        assert [True, False] == [Once(connection, HOUR).first(KEY) for _ in range(2)]

    def test_a_key_with_an_earlier_end_is_obeyed(self, connection: Redis) -> None:
        """
        Another worker was first.
        """
        connection.set(KEY, "x", ex=timedelta(minutes=1))

        assert not Once(connection, HOUR).first(KEY)


class TestBoundExpiry:
    @pytest.mark.parametrize("planted", [None, timedelta(days=1)])
    def test_a_later_end_becomes_an_earlier_one(self, connection: Redis, planted: timedelta | None) -> None:
        """
        The key stays until then.
        """
        connection.set(KEY, "x", ex=planted)

        assert bound_expiry(connection, KEY, HOUR)

        assert 3_500_000 < connection.pttl(KEY) <= 3_600_000

    def test_an_earlier_end_stays(self, connection: Redis) -> None:
        """
        It is the writer's own.
        """
        connection.set(KEY, "x", ex=60)

        assert bound_expiry(connection, KEY, HOUR)

        assert connection.pttl(KEY) <= 60_000

    def test_no_key_is_made(self, connection: Redis) -> None:
        """
        The caller learns that there is none.
        """
        assert not bound_expiry(connection, KEY, HOUR)
