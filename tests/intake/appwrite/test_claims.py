"""
Messages between Appwrite's queue and ours.
"""

from __future__ import annotations

from redis import Redis

from certworker.intake.appwrite import claims
from certworker.intake.appwrite.claims import shown
from certworker.intake.appwrite.utopia import UtopiaQueue
from tests.intake.appwrite.core import NAME, UTOPIA, stats


def dies(connection: Redis, worker: str) -> None:
    """
    Let the sign of life of *worker* end.
    """
    assert connection.delete(f"{claims.OURS}:utopia:alive:{worker}")


class TestClaims:
    def test_a_message_is_claimed_by_one_worker(self, connection: Redis) -> None:
        """
        And is told again as long as it is not settled: whoever was interrupted goes on.
        """
        one, other = (UtopiaQueue(connection, NAME, worker) for worker in ("one", "other"))
        connection.lpush(UTOPIA, "first", "second")

        assert [b"first", b"second"] == one.take()
        assert [] == other.take()
        assert [b"first", b"second"] == one.take()

    def test_the_claims_of_a_dead_worker_are_taken_over_and_counted_once(self, connection: Redis) -> None:
        """
        It was killed with a message in its hands.
        """
        one, other = (UtopiaQueue(connection, NAME, worker) for worker in ("one", "other"))
        connection.lpush(UTOPIA, "first", "second")
        one.take()
        dies(connection, "one")

        assert [b"first", b"second"] == other.take()
        assert (2, 2) == (stats(connection)["total"], stats(connection)["processing"])

    def test_a_worker_that_was_frozen_settles_nothing_that_is_another_ones(self, connection: Redis) -> None:
        """
        Or a message would be counted twice.
        """
        one, other = (UtopiaQueue(connection, NAME, worker) for worker in ("one", "other"))
        connection.lpush(UTOPIA, "first")
        (raw,) = one.take()
        dies(connection, "one")
        other.take()

        one.settle(raw)

        assert (0, 1) == (stats(connection)["success"], stats(connection)["processing"])
        other.settle(raw)
        assert (1, 0) == (stats(connection)["success"], stats(connection)["processing"])

    def test_so_many_are_claimed_and_no_more(self, connection: Redis) -> None:
        """
        What waits for DNS must not pile up in one worker.
        """
        queue = UtopiaQueue(connection, NAME, "one")
        connection.lpush(UTOPIA, *range(claims.MOST_CLAIMS + 5))

        assert claims.MOST_CLAIMS == len(queue.take()) == len(queue.take())
        assert 5 == connection.llen(UTOPIA)


class TestShown:
    def test_garbage_can_be_looked_at(self) -> None:
        """
        On one line, and not all ten megabytes of it.
        """
        assert r"\x80\x04\nx" == shown(b"\x80\x04\nx")
        assert 200 >= len(shown(b"x" * 10_000_000))
