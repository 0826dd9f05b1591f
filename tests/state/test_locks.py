"""
Tests of the locks on names, and the tokens that order their leases.
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

from certworker.errors.redis import TokenOutOfBounds
from certworker.errors.worker import AlreadyInProgress
from certworker.job_slot import JobSlot, running_in
from certworker.state.locks import FENCE, LOCKS, DomainLocks
from tests.servers.redis import RedisServer
from tests.servers.worker import wait_until

#: A lease that a test can wait for, and that does not expire early on a busy machine.
SHORT_LEASE_SECONDS = 0.6


def locks_of(connection: redis.Redis, lease_seconds: float = 90, highest: int = 0) -> DomainLocks:
    """
    Return the locks of one worker, on a volume whose highest token is *highest*.
    """
    return DomainLocks(connection, lease_seconds, highest_token=lambda: highest)


def renewing_threads() -> int:
    """
    Return the number of threads that renew leases, including those of earlier tests.
    """
    return sum(thread.name == "leases" for thread in threading.enumerate())


def without_retries(server: RedisServer) -> redis.Redis:
    """
    Return a connection without retries, so that an outage is visible immediately.
    """
    return redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """
    Start a Redis that the test can kill.
    """
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


def nothing() -> None:
    """
    Release no slot.
    """


def not_busy() -> bool:
    """
    Return that no other job waits.
    """
    return False


class TestConflicts:
    def test_a_conflict_is_reported(self, connection: redis.Redis) -> None:
        """
        The locks report each name that another worker has locked, and no other attempt.
        """
        conflicts: list[None] = []
        locks = DomainLocks(
            connection, 90, highest_token=lambda: 0, on_conflict=lambda: conflicts.append(None)
        )
        with locks.hold(["a.org"]), pytest.raises(AlreadyInProgress), locks.hold(["b.org", "a.org"]):
            pass

        assert [None] == conflicts


class TestAbandonedRun:
    def test_the_next_run_of_a_job_takes_over_its_locks(self, connection: redis.Redis) -> None:
        """
        The run that repeats an abandoned one gets its lock immediately, and the abandoned lease is lost.
        """
        first, second = (
            JobSlot(nothing, not_busy, run="job:1"),
            JobSlot(nothing, not_busy, None, "job:2", "job:1"),
        )
        abandoned = locks_of(connection).hold(["a.org"])
        with running_in(first):
            old = abandoned.__enter__()
        with running_in(second), locks_of(connection).hold(["a.org"]) as lease:
            assert old.token < lease.token
            assert (False, True) == (old.still_held(), lease.still_held())
            abandoned.__exit__(None, None, None)
            assert lease.still_held()

    @pytest.mark.parametrize("abandoned", ["", "job", "job:", "other:1", "job:11"])
    def test_a_run_takes_over_no_other_locks(self, connection: redis.Redis, abandoned: str) -> None:
        """
        The locks of a run are taken over only by the run that names it.
        """
        with (
            running_in(JobSlot(nothing, not_busy, run="job:1")),
            locks_of(connection).hold(["a.org"]) as lease,
        ):
            with (
                running_in(JobSlot(nothing, not_busy, run="job:2", abandoned_run=abandoned)),
                pytest.raises(AlreadyInProgress),
                locks_of(connection).hold(["a.org"]),
            ):
                pass
            assert lease.still_held()


class TestFence:
    @pytest.mark.parametrize(
        "planted",
        [
            *("inf", "-inf", "nan", "1e300", "-5", "1.5", "0x10", "", "abc", " 7", "7\n"),
            *(str(2**63 - 1), str(10**12), "9" * 12, "9" * 5_000),
        ],
    )
    def test_an_invalid_counter_is_replaced_with_that_of_the_volume(
        self, connection: redis.Redis, planted: str
    ) -> None:
        """
        After an invalid counter, the next token follows the highest one of the volume.
        """
        connection.set(FENCE, planted)
        locks = locks_of(connection, highest=41)

        with locks.hold(["a.org"]) as first, locks.hold(["b.org"]) as second:
            assert (42, 43) == (first.token, second.token)

    def test_a_counter_of_another_type_is_replaced_with_that_of_the_volume(
        self, connection: redis.Redis
    ) -> None:
        """
        A counter of another type is replaced, and the next token follows the highest one on the volume.
        """
        connection.rpush(FENCE, "7")

        with locks_of(connection, highest=41).hold(["a.org"]) as lease:
            assert 42 == lease.token

    def test_a_counter_above_the_volume_continues(self, connection: redis.Redis) -> None:
        """
        A counter above the volume's highest token continues, because most leases store no certificate.
        """
        connection.set(FENCE, 1_000_000)

        with locks_of(connection, highest=41).hold(["a.org"]) as lease:
            assert 1_000_001 == lease.token

    @pytest.mark.parametrize("highest", [10**12 - 1, 10**15])
    def test_a_token_with_thirteen_digits_is_a_failure(self, connection: redis.Redis, highest: int) -> None:
        """
        A token with thirteen digits is a failure, and the lock is released.
        """
        locks = locks_of(connection, highest=highest)
        with pytest.raises(TokenOutOfBounds) as caught, locks.hold(["a.org"]):
            pass

        assert "redis.fault" == caught.value.code
        assert caught.value.message.endswith("is out of bounds: 1000000000000.")
        assert "rejected" not in caught.value.message

        assert not locks.is_held("a.org")

    @pytest.mark.parametrize("milliseconds", [None, 10**12])
    def test_a_lock_with_an_invalid_expiry_is_free(
        self, connection: redis.Redis, milliseconds: int | None
    ) -> None:
        """
        A lock without an expiry, or with a very late one, is free.
        """
        connection.set(LOCKS + "a.org", "planted", px=milliseconds)
        assert not locks_of(connection).is_held("a.org")

        with locks_of(connection).hold(["a.org"]) as lease:
            assert lease.still_held()


class TestHold:
    """
    Test the locking and the release of names.
    """

    def test_a_second_worker_fails_at_once(self, connection: redis.Redis) -> None:
        """
        A second worker gets a failure immediately, and does not wait.
        """
        with (
            locks_of(connection).hold(["a.org"]),
            pytest.raises(AlreadyInProgress) as caught,
            locks_of(connection).hold(["a.org"]),
        ):
            pass

        assert "a.org" in caught.value.message

    def test_the_names_are_released_after_the_block(self, connection: redis.Redis) -> None:
        """
        The names are released at the end of the block.
        """
        locks = locks_of(connection)

        with locks.hold(["a.org"]):
            assert locks.is_held("a.org")

        assert not locks.is_held("a.org")

    def test_the_names_are_released_after_a_failure(self, connection: redis.Redis) -> None:
        """
        The names are released after an exception in the block.
        """
        locks = locks_of(connection)

        with pytest.raises(ZeroDivisionError), locks.hold(["a.org"]):
            raise ZeroDivisionError

        assert not locks.is_held("a.org")

    def test_all_names_of_a_set_are_locked_or_none(self, connection: redis.Redis) -> None:
        """
        If one name of a set is locked, no other name of it is locked.
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

    def test_a_repeated_name_is_locked_once(self, connection: redis.Redis) -> None:
        """
        A repeated name is locked once.
        """
        with locks_of(connection).hold(["a.org", "a.org"]) as lease:
            assert lease.names == ("a.org",)

    def test_the_names_of_a_killed_worker_are_free_after_the_lease(self, connection: redis.Redis) -> None:
        """
        The names of a killed worker are free after its lease expires.
        """
        connection.set(LOCKS + "a.org", "of a dead worker", px=50)
        time.sleep(0.1)

        with locks_of(connection).hold(["a.org"]) as lease:
            assert lease.still_held()

    def test_a_stopping_worker_releases_its_names(self, connection: redis.Redis) -> None:
        """
        A stopping worker releases its names before the end of the block, so that another one can lock them.
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
    Test the fencing token.
    """

    def test_each_lease_has_a_higher_token(self, connection: redis.Redis) -> None:
        """
        Each lease has a higher token than the former ones.
        """
        locks = locks_of(connection)
        tokens = []
        for name in ("a.org", "b.org", "a.org"):
            with locks.hold([name]) as lease:
                tokens.append(lease.token)

        assert tokens == sorted(set(tokens))

    def test_after_a_loss_the_token_follows_that_of_the_volume(self, connection: redis.Redis) -> None:
        """
        After a loss of Redis, the next token follows the highest one of the volume.
        """
        connection.delete(FENCE)

        with locks_of(connection, highest=41).hold(["a.org"]) as lease:
            assert lease.token == 42

    def test_after_an_old_snapshot_the_token_follows_that_of_the_volume(
        self, connection: redis.Redis
    ) -> None:
        """
        After Redis restores an old snapshot, the next token follows the highest one of the volume.
        """
        connection.set(FENCE, 7)

        with locks_of(connection, highest=41).hold(["a.org"]) as lease:
            assert lease.token == 42

    def test_text_instead_of_a_counter_is_replaced(self, connection: redis.Redis) -> None:
        """
        A counter that is not a number is replaced, so that it does not stop the issuance.
        """
        connection.set(FENCE, "seven")

        with locks_of(connection, highest=3).hold(["a.org"]) as lease:
            assert lease.token == 4


class TestLease:
    """
    Test the lease of a locked name.
    """

    def test_a_lease_is_renewed_until_its_release(self, connection: redis.Redis) -> None:
        """
        A lease is renewed until its release, because a CA may validate for minutes.
        """
        locks = locks_of(connection, 3)

        with locks.hold(["a.org"]) as lease:
            for _ in range(3):
                wait_until(lambda: connection.pttl(LOCKS + "a.org") < 2_500 or None, str)
                wait_until(lambda: connection.pttl(LOCKS + "a.org") > 2_500 or None, str)

            assert locks.is_held("a.org")
            assert lease.still_held()

    def test_one_thread_renews_all_leases(self, connection: redis.Redis) -> None:
        """
        One thread renews all leases.
        """
        before = renewing_threads()
        locks = locks_of(connection)

        with locks.hold(["a.org"]), locks.hold(["b.org"]), locks.hold(["c.org"]):
            assert renewing_threads() - before == 1

    def test_a_lease_is_lost_to_another_worker(self, connection: redis.Redis) -> None:
        """
        A lease is not held after another worker has taken the lock, whose value is unchanged.
        """
        with locks_of(connection).hold(["a.org"]) as lease:
            connection.set(LOCKS + "a.org", "of another worker")

            assert not lease.still_held()

        assert connection.get(LOCKS + "a.org") == b"of another worker"

    def test_commands_run_only_with_the_lease(self, connection: redis.Redis) -> None:
        """
        The commands run and the lease is renewed in one step. After the loss of the lease, none of them runs.
        """
        with locks_of(connection, 60).hold(["a.org"]) as lease:
            connection.pexpire(LOCKS + "a.org", 1_000)
            assert ([2], []) == lease.write(lambda pipe: pipe.rpush("list", "x", "y"))
            assert connection.pttl(LOCKS + "a.org") > 50_000
            connection.set(LOCKS + "a.org", "another worker")

            assert lease.write(lambda pipe: pipe.delete("list")) is None
            assert not lease.still_held()
        assert [b"x", b"y"] == connection.lrange("list", 0, -1)

    def test_a_command_that_may_fail_does_not_undo_the_others(self, connection: redis.Redis) -> None:
        """
        An error of a command that may fail is its reply. An error of another command is raised.
        """
        connection.set("text", "x")
        with locks_of(connection).hold(["a.org"]) as lease:
            replies = lease.write(lambda pipe: pipe.incr("n"), lambda pipe: pipe.llen("text"))

            assert replies is not None
            assert [1] == replies[0]
            assert isinstance(replies[1][0], redis.ResponseError)
            with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
                lease.write(lambda pipe: pipe.llen("text"))

    def test_an_evicted_lock_is_restored(self, connection: redis.Redis) -> None:
        """
        The lock of a valid lease is restored after its eviction.
        """
        locks = locks_of(connection)

        with locks.hold(["a.org"]) as lease:
            connection.delete(LOCKS + "a.org")

            assert lease.still_held()
            assert locks.is_held("a.org")

    def test_a_released_lease_is_not_restored(self, connection: redis.Redis) -> None:
        """
        A late check of a released lease does not lock the name.
        """
        locks = locks_of(connection)
        with locks.hold(["a.org"]) as lease:
            pass

        assert not lease.still_held()
        assert not locks.is_held("a.org")

    def test_a_lease_has_its_duration(self, connection: redis.Redis) -> None:
        """
        A lease has its duration, after which the name of a killed worker is checked again.
        """
        with locks_of(connection, 7).hold(["a.org"]) as lease:
            assert lease.duration == timedelta(seconds=7)


class TestUnreachableRedis:
    """
    Test the locks while Redis is unreachable.
    """

    def test_a_lease_is_held_until_its_expiry(self, own_redis: RedisServer) -> None:
        """
        A lease is held during an outage of Redis, until it expires.
        """
        locks = locks_of(without_retries(own_redis), SHORT_LEASE_SECONDS)

        with locks.hold(["a.org"]) as lease:
            own_redis.kill()

            assert lease.still_held()

            time.sleep(SHORT_LEASE_SECONDS)

            assert not lease.still_held()

    def test_an_error_of_the_release_is_ignored(self, own_redis: RedisServer) -> None:
        """
        An error of the release is ignored, so that the job of an issued certificate does not fail.
        """
        with locks_of(without_retries(own_redis)).hold(["a.org"]):
            own_redis.kill()
