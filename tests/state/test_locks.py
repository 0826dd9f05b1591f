"""
One worker at a time for a name, and a token that distinguishes an older lease from a newer one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from certworker.errors.redis import RedisFault
from certworker.errors.worker import AlreadyInProgress
from certworker.state.locks import FENCE, LOCKS, DomainLocks
from tests.servers.redis import RedisServer
from tests.servers.worker import wait_until

#: Short enough to wait for its end, long enough for a busy machine.
SHORT_LEASE_SECONDS = 0.6


def locks_of(connection: redis.Redis, lease_seconds: float = 90, highest: int = 0) -> DomainLocks:
    """
    The locks of one worker on a volume whose highest token is *highest*.
    """
    return DomainLocks(connection, lease_seconds, highest_token=lambda: highest)


def renewing_threads() -> int:
    """
    How many threads renew leases, those of earlier tests included.
    """
    return sum(thread.name == "leases" for thread in threading.enumerate())


def impatient(server: RedisServer) -> redis.Redis:
    """
    A connection without retries, so that an outage is visible at once.
    """
    return redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """
    A Redis that the test may kill.
    """
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


class TestFence:
    @pytest.mark.parametrize(
        "planted",
        [
            *("inf", "-inf", "nan", "1e300", "-5", "1.5", "0x10", "", "abc", " 7", "7\n"),
            *(str(2**63 - 1), str(10**12), "9" * 12, "9" * 5_000),
        ],
    )
    def test_a_counter_that_makes_no_sense_is_taken_from_the_volume(
        self, connection: redis.Redis, planted: str
    ) -> None:
        """
        The next token is one more than the volume's.
        """
        connection.set(FENCE, planted)
        locks = locks_of(connection, highest=41)

        with locks.hold(["a.org"]) as first, locks.hold(["b.org"]) as second:
            assert (42, 43) == (first.token, second.token)

    def test_a_counter_of_another_type_is_taken_from_the_volume(self, connection: redis.Redis) -> None:
        """
        The client removes the key.
        """
        connection.rpush(FENCE, "7")

        with locks_of(connection, highest=41).hold(["a.org"]) as lease:
            assert 42 == lease.token

    def test_a_counter_ahead_of_the_volume_counts(self, connection: redis.Redis) -> None:
        """
        Most leases store no certificate.
        """
        connection.set(FENCE, 1_000_000)

        with locks_of(connection, highest=41).hold(["a.org"]) as lease:
            assert 1_000_001 == lease.token

    @pytest.mark.parametrize("highest", [10**12 - 1, 10**15])
    def test_a_token_that_no_generation_can_have_is_refused(
        self, connection: redis.Redis, highest: int
    ) -> None:
        """
        A generation with thirteen digits would count as the oldest; the lock is released.
        """
        locks = locks_of(connection, highest=highest)
        with pytest.raises(RedisFault, match="out of bounds"), locks.hold(["a.org"]):
            pass

        assert not locks.is_held("a.org")

    @pytest.mark.parametrize("milliseconds", [None, 10**12])
    def test_a_lock_that_no_worker_took_is_free(
        self, connection: redis.Redis, milliseconds: int | None
    ) -> None:
        """
        Otherwise a planted lock would block a renewal until the certificate expires.
        """
        connection.set(LOCKS + "a.org", "planted", px=milliseconds)
        assert not locks_of(connection).is_held("a.org")

        with locks_of(connection).hold(["a.org"]) as lease:
            assert lease.still_held()


class TestHold:
    """
    Taking names and giving them back.
    """

    def test_a_second_worker_is_refused_at_once(self, connection: redis.Redis) -> None:
        """
        Two orders for one name would cost two of the CA's five a week. In this test a wait would never end.
        """
        with (
            locks_of(connection).hold(["a.org"]),
            pytest.raises(AlreadyInProgress) as caught,
            locks_of(connection).hold(["a.org"]),
        ):
            pass

        assert "a.org" in caught.value.message

    def test_the_names_are_free_afterwards(self, connection: redis.Redis) -> None:
        """
        The next job does not wait for the lease to expire.
        """
        locks = locks_of(connection)

        with locks.hold(["a.org"]):
            assert locks.is_held("a.org")

        assert not locks.is_held("a.org")

    def test_the_names_are_free_after_a_failure(self, connection: redis.Redis) -> None:
        """
        The next attempt does not wait for the lease to expire.
        """
        locks = locks_of(connection)

        with pytest.raises(ZeroDivisionError), locks.hold(["a.org"]):
            raise ZeroDivisionError

        assert not locks.is_held("a.org")

    def test_a_set_is_taken_whole_or_not_at_all(self, connection: redis.Redis) -> None:
        """
        Otherwise names would be locked without being issued.
        """
        locks = locks_of(connection)

        with (
            locks.hold(["b.org"]),
            pytest.raises(AlreadyInProgress) as caught,
            locks.hold(["c.org", "b.org", "a.org"]),
        ):
            pass

        assert "b.org" in caught.value.message
        assert not locks.is_held("a.org")
        assert not locks.is_held("c.org")

    def test_a_name_given_twice_is_one_lock(self, connection: redis.Redis) -> None:
        """
        A repeated name does not conflict with itself.
        """
        with locks_of(connection).hold(["a.org", "a.org"]) as lease:
            assert lease.names == ("a.org",)

    def test_a_dead_worker_keeps_its_names_for_one_lease_only(self, connection: redis.Redis) -> None:
        """
        After `kill -9` the lease expires.
        """
        connection.set(LOCKS + "a.org", "of a dead worker", px=50)
        time.sleep(0.1)

        with locks_of(connection).hold(["a.org"]) as lease:
            assert lease.still_held()

    def test_a_worker_that_ends_gives_them_back_although_it_is_not_done(
        self, connection: redis.Redis
    ) -> None:
        """
        After `docker compose up -d` with a new image no worker waits for a lease to expire.
        """
        ending, next_one = locks_of(connection), locks_of(connection)
        with ending.hold(["a.example"]) as lease:
            ending.release_all()
            with next_one.hold(["a.example"]) as newer:
                assert newer.token > lease.token
                assert not lease.still_held()
            assert not ending.is_held("a.example")


class TestToken:
    """
    The fencing token.
    """

    def test_each_hold_has_a_higher_one(self, connection: redis.Redis) -> None:
        """
        The volume refuses the lower of two.
        """
        locks = locks_of(connection)
        tokens = []
        for name in ("a.org", "b.org", "a.org"):
            with locks.hold([name]) as lease:
                tokens.append(lease.token)

        assert tokens == sorted(set(tokens))

    def test_an_emptied_redis_counts_on_above_the_volume(self, connection: redis.Redis) -> None:
        """
        The volume rejects certificates with a lower token.
        """
        connection.delete(FENCE)

        with locks_of(connection, highest=41).hold(["a.org"]) as lease:
            assert lease.token == 42

    def test_a_counter_restored_from_an_old_snapshot_counts_on_above_the_volume(
        self, connection: redis.Redis
    ) -> None:
        """
        A restored Redis may have an old counter.
        """
        connection.set(FENCE, 7)

        with locks_of(connection, highest=41).hold(["a.org"]) as lease:
            assert lease.token == 42

    def test_an_invalid_counter_begins_again(self, connection: redis.Redis) -> None:
        """
        One planted value must not stop all issuance.
        """
        connection.set(FENCE, "seven")

        with locks_of(connection, highest=3).hold(["a.org"]) as lease:
            assert lease.token == 4


class TestLease:
    """
    What a holder knows of its lease.
    """

    def test_it_is_renewed_for_as_long_as_it_is_held(self, connection: redis.Redis) -> None:
        """
        A CA may validate for minutes.
        """
        locks = locks_of(connection, 3)

        with locks.hold(["a.org"]) as lease:
            for _ in range(3):
                wait_until(lambda: connection.pttl(LOCKS + "a.org") < 2_500 or None, str)
                wait_until(lambda: connection.pttl(LOCKS + "a.org") > 2_500 or None, str)

            assert locks.is_held("a.org")
            assert lease.still_held()

    def test_one_thread_renews_all_of_them(self, connection: redis.Redis) -> None:
        """
        A thread for each of 64 slots would cost memory for nothing.
        """
        before = renewing_threads()
        locks = locks_of(connection)

        with locks.hold(["a.org"]), locks.hold(["b.org"]), locks.hold(["c.org"]):
            assert renewing_threads() - before == 1

    def test_a_lock_taken_by_another_worker_is_lost(self, connection: redis.Redis) -> None:
        """
        A worker without its lock must not publish.
        """
        with locks_of(connection).hold(["a.org"]) as lease:
            connection.set(LOCKS + "a.org", "of another worker")

            assert not lease.still_held()

        assert connection.get(LOCKS + "a.org") == b"of another worker"

    def test_an_evicted_lock_is_taken_again(self, connection: redis.Redis) -> None:
        """
        `allkeys-lru` may evict the key of a valid lease.
        """
        locks = locks_of(connection)

        with locks.hold(["a.org"]) as lease:
            connection.delete(LOCKS + "a.org")

            assert lease.still_held()
            assert locks.is_held("a.org")

    def test_it_does_not_come_back_after_its_end(self, connection: redis.Redis) -> None:
        """
        A late renewal does not lock the name again.
        """
        locks = locks_of(connection)
        with locks.hold(["a.org"]) as lease:
            pass

        assert not lease.still_held()
        assert not locks.is_held("a.org")

    def test_its_length_is_known(self, connection: redis.Redis) -> None:
        """
        A name is checked again after the lease of a killed worker.
        """
        with locks_of(connection, 7).hold(["a.org"]) as lease:
            assert lease.duration == timedelta(seconds=7)


class TestRedisAway:
    """
    What the lock does while Redis does not answer.
    """

    def test_a_lease_is_believed_until_it_ends(self, own_redis: RedisServer) -> None:
        """
        A short outage does not end an issuance.
        """
        locks = locks_of(impatient(own_redis), SHORT_LEASE_SECONDS)

        with locks.hold(["a.org"]) as lease:
            own_redis.kill()

            assert lease.still_held()

            time.sleep(SHORT_LEASE_SECONDS)

            assert not lease.still_held()

    def test_giving_back_fails_silently(self, own_redis: RedisServer) -> None:
        """
        An error of the release does not fail the job of an issued certificate.
        """
        with locks_of(impatient(own_redis)).hold(["a.org"]):
            own_redis.kill()
