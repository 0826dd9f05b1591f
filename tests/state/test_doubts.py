"""
The CA is asked about a doubtful name once a day, by one of all workers.
"""

from __future__ import annotations

from datetime import timedelta

from redis import Redis

from certworker.state.doubts import DOUBTS, OncePerDay


class TestDoubts:
    def test_the_ca_may_be_asked_once(self, connection: Redis) -> None:
        """
        Each no of the CA counts towards a limit of its own.
        """
        doubts = OncePerDay(connection)

        assert [True, False, False] == [doubts.may_ask("shop.org") for _ in range(3)]
        assert doubts.may_ask("other.org")

    def test_a_key_without_end_blocks_nothing(self, connection: Redis) -> None:
        """
        The name would have no certificate for as long as the key is there.
        """
        connection.set(f"{DOUBTS}shop.org", "x")

        assert [True, False] == [OncePerDay(connection).may_ask("shop.org") for _ in range(2)]

    def test_the_next_day_it_may_be_asked_again(self, connection: Redis) -> None:
        """
        What we see from here need not be what the CA sees.
        """
        OncePerDay(connection).may_ask("shop.org")

        left = connection.ttl(f"{DOUBTS}shop.org")
        assert timedelta(hours=23) < timedelta(seconds=int(str(left))) <= timedelta(days=1)
