"""
Tests of the claims of messages.
"""

from __future__ import annotations

import json

import pytest
from redis import Redis

from certworker.errors.payload import PayloadMissing
from certworker.integrations.appwrite import claims
from certworker.integrations.appwrite.claims import displayed
from certworker.integrations.appwrite.resque import ResqueQueue
from certworker.integrations.appwrite.utopia import UtopiaQueue
from certworker.worker.payload import LARGEST
from tests.integrations.appwrite.core import NAME, RESQUE, UTOPIA, stats


def expire_heartbeat(connection: Redis, worker: str) -> None:
    """
    Remove the heartbeat of *worker*.
    """
    assert connection.delete(f"{claims.KEY_PREFIX}:utopia:alive:{worker}")


class TestClaims:
    def test_a_message_is_claimed_by_one_worker(self, connection: Redis) -> None:
        """
        A claimed message is returned until it is settled, and to no other worker.
        """
        one, other = (UtopiaQueue(connection, NAME, worker) for worker in ("one", "other"))
        connection.lpush(UTOPIA, "first", "second")

        assert [b"first", b"second"] == one.take()
        assert [] == other.take()
        assert [b"first", b"second"] == one.take()

    def test_the_claims_of_a_dead_worker_are_taken_over(self, connection: Redis) -> None:
        """
        Another worker takes over the claims of a killed worker, and counts them once.
        """
        one, other = (UtopiaQueue(connection, NAME, worker) for worker in ("one", "other"))
        connection.lpush(UTOPIA, "first", "second")
        one.take()
        expire_heartbeat(connection, "one")

        assert [b"first", b"second"] == other.take()
        assert (2, 2) == (stats(connection)["total"], stats(connection)["processing"])

    def test_a_late_worker_does_not_settle_the_claim_of_another(self, connection: Redis) -> None:
        """
        A worker cannot settle a message that another worker has taken over.
        """
        one, other = (UtopiaQueue(connection, NAME, worker) for worker in ("one", "other"))
        connection.lpush(UTOPIA, "first")
        (raw,) = one.take()
        expire_heartbeat(connection, "one")
        other.take()

        one.settle(raw)

        assert (0, 1) == (stats(connection)["success"], stats(connection)["processing"])
        other.settle(raw)
        assert (1, 0) == (stats(connection)["success"], stats(connection)["processing"])

    def test_a_large_message_affects_no_other(self, connection: Redis) -> None:
        """
        A large message is truncated, and affects no other message.
        """
        queue = UtopiaQueue(connection, NAME, "one")
        connection.lpush(UTOPIA, "first", *(f"{number}{'x' * 1_000_000}" for number in range(80)), "last")

        found = queue.take()

        assert (82, b"first", b"last") == (len(found), found[0], found[-1])
        assert {5, LARGEST + 1, 4} == {len(raw) for raw in found}
        for raw in found:
            queue.settle(raw)
        assert 0 == connection.exists(f"{claims.KEY_PREFIX}:utopia:claims:one")

    @pytest.mark.parametrize("seconds", [None, 10**6])
    def test_a_heartbeat_without_a_valid_expiry_is_ignored(
        self, connection: Redis, seconds: int | None
    ) -> None:
        """
        Another worker takes over claims if the heartbeat never expires, or too late.
        """
        one, other = (UtopiaQueue(connection, NAME, worker) for worker in ("one", "other"))
        connection.lpush(UTOPIA, "first")
        one.take()
        connection.set(f"{claims.KEY_PREFIX}:utopia:alive:one", "1", ex=seconds)

        assert [b"first"] == other.take()

    def test_claims_of_another_type_are_removed(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A key of claims that is not a list is removed and logged once, and messages are taken.
        """
        key = f"{claims.KEY_PREFIX}:utopia:claims:planted"
        connection.sadd(f"{claims.KEY_PREFIX}:utopia:workers", "planted")
        connection.set(key, "x")
        connection.lpush(UTOPIA, "first")
        queue = UtopiaQueue(connection, NAME, "one")

        assert [b"first"] == queue.take() == queue.take()
        assert not connection.exists(key)
        assert [f"removed a key of the wrong type from Redis: {key} is not a list of claims"] == [
            line.getMessage() for line in caplog.records
        ]

    def test_many_claims_are_taken_over_in_parts(self, connection: Redis) -> None:
        """
        A worker takes over a limited number of claims at a time, and the others later.
        """
        connection.sadd(f"{claims.KEY_PREFIX}:utopia:workers", "dead")
        connection.lpush(f"{claims.KEY_PREFIX}:utopia:claims:dead", *range(250))
        queue = UtopiaQueue(connection, NAME, "one")

        settled = 0
        while found := queue.take():
            assert len(found) <= claims.MAX_CLAIMS
            for raw in found:
                queue.settle(raw)
            settled += len(found)
        assert 250 == settled

    @pytest.mark.parametrize("value", ["x", "1e300", str(2**63 - 1), "1" * 1_000_000])
    def test_an_invalid_count_affects_no_message(self, connection: Redis, value: str) -> None:
        """
        With invalid counts, messages are taken, and other consumers are not counted.
        """
        queue = UtopiaQueue(connection, NAME, "one")
        for kind in ("total", "processing", "success"):
            connection.set(f"utopia-queue.stats.{NAME}.{kind}", value)
        connection.set(f"{claims.KEY_PREFIX}:taken:{NAME}", value)
        connection.lpush(UTOPIA, "first")

        (raw,) = queue.take()
        queue.settle(raw)

        assert queue.taken_by_others() is None
        assert [] == queue.take()

    def test_keys_of_another_type_affect_no_message(self, connection: Redis) -> None:
        """
        Each message of both queues is taken and settled once, even if other keys have the wrong type.
        """
        kinds = [f"utopia-queue.stats.{NAME}.{kind}" for kind in ("total", "processing", "success", "failed")]
        for key in (*kinds, "resque:stat:processed", "resque:stat:failed"):
            connection.sadd(key, "not a count")
        for key in (f"utopia-queue.processing.{NAME}", f"utopia-queue.failed.{NAME}", "resque:failed"):
            connection.set(key, "not a list")
        message = {"pid": "1", "queue": NAME, "timestamp": 1, "payload": {"domain": "a.localhost"}}
        for key in (UTOPIA, RESQUE):
            connection.lpush(key, json.dumps(message), json.dumps(message))

        utopia = UtopiaQueue(connection, NAME, "one")
        for queue in (utopia, ResqueQueue(connection, NAME, "one")):
            first, second = queue.take()
            queue.settle(first)
            queue.settle(second, PayloadMissing())
            assert [] == queue.take()

        assert [None, None] == [utopia.taken_by_others() for _ in range(2)]

    def test_the_number_of_claims_is_limited(self, connection: Redis) -> None:
        """
        A worker claims a limited number of messages, because each can wait for DNS.
        """
        queue = UtopiaQueue(connection, NAME, "one")
        connection.lpush(UTOPIA, *range(claims.MAX_CLAIMS + 5))

        assert claims.MAX_CLAIMS == len(queue.take()) == len(queue.take())
        assert 5 == connection.llen(UTOPIA)


class TestDisplayed:
    def test_an_invalid_message_is_displayed(self) -> None:
        """
        An invalid message is displayed in one line, and truncated.
        """
        assert r"\x80\x04\nx" == displayed(b"\x80\x04\nx")
        assert 200 >= len(displayed(b"x" * 10_000_000))
