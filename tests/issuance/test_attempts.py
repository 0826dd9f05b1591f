"""
The record of each attempt; there always is a next attempt on the agenda.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from certworker.errors import CertworkerError, Interrupted, Retry
from certworker.errors.http import HttpTimeout
from certworker.errors.worker import JobTimedOut, SchemaTooNew, Unexpected, WorkerCrashed
from certworker.issuance.attempts import LEASE_GRACE, Attempts
from certworker.redis.failures import address_of
from certworker.renewal.agenda import Agenda
from certworker.state.domain_records import DomainRecord, DomainRecords
from certworker.state.locks import DomainLocks
from certworker.validity import Validity

NAMES = ("a.org",)
NOW = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)
LEASE = timedelta(seconds=90)
MINUTE = timedelta(minutes=1)
TIMED_OUT = HttpTimeout(name="a.org", address="203.0.113.7", problem={"type": "connection"})


class Killed(BaseException):
    """
    Ends a worker without any cleanup.
    """


@pytest.fixture
def locks(connection: redis.Redis) -> DomainLocks:
    """
    Return the locks of one worker.
    """
    return DomainLocks(connection, LEASE.total_seconds(), highest_token=lambda: 0)


@pytest.fixture
def attempts(connection: redis.Redis) -> Attempts:
    """
    Return the attempts at :data:`NOW`.
    """
    return Attempts(
        DomainRecords(connection),
        Agenda(connection),
        lambda: NOW,
        Random(1),
        address_of(connection),
        lambda _: (),
    )


def fail(
    attempts: Attempts,
    locks: DomainLocks,
    fault: BaseException,
    before: Callable[[], object] = lambda: None,
) -> timedelta:
    """
    Let an attempt end in *fault*; return the time until the next one.
    """
    suppressed = suppress(type(fault), Unexpected)
    with suppressed, locks.hold(NAMES) as lease, attempts.recording(NAMES, lease, force=False):
        before()
        raise fault
    again = attempts.agenda.next_check(NAMES[0])
    assert again is not None
    return again - attempts.clock()


def crash(attempts: Attempts, locks: DomainLocks) -> timedelta:
    """
    Let a worker crash; return the time until the next attempt.
    """
    return fail(attempts, locks, Killed())


def later(attempts: Attempts, moment: datetime) -> Attempts:
    """
    Return the same attempts at *moment*.
    """
    return replace(attempts, clock=lambda: moment)


def refuse(names: tuple[str, ...]) -> None:
    """
    Fail like a dry run before the cause is fixed.
    """
    raise HttpTimeout(name=names[0], address="203.0.113.7")


def record_of(attempts: Attempts) -> DomainRecord:
    """
    Return the record of the only name.
    """
    record = attempts.records.read(NAMES[0])
    assert record is not None
    return record


class TestCrashes:
    def test_after_the_first_one_the_next_attempt_follows_the_lease(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        Most crashes are deployments or power cuts, so the next attempt follows the end of the lease.
        """
        assert crash(attempts, locks) == LEASE + LEASE_GRACE

    def test_a_loop_of_them_slows_down_to_one_a_day(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A name that crashes workers neither floods the CA nor blocks the other names.
        """
        waits, now = [], NOW
        for _ in range(8):
            wait = crash(later(attempts, now), locks)
            waits.append(wait - LEASE - LEASE_GRACE)
            now += wait

        assert [
            timedelta(0),
            timedelta(seconds=5),
            timedelta(seconds=30),
            MINUTE,
            10 * MINUTE,
            100 * MINUTE,
            timedelta(days=1),
            timedelta(days=1),
        ] == waits

    def test_no_attempt_begins_before_that_time(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A container that restarts requests its own domains each time.
        """
        crash(attempts, locks)
        wait = crash(attempts, locks)
        with (
            pytest.raises(WorkerCrashed) as caught,
            locks.hold(NAMES) as lease,
            attempts.recording(NAMES, lease, force=False),
        ):
            pass

        assert NOW + wait == caught.value.until == attempts.agenda.next_check(NAMES[0])
        assert "2 times" in caught.value.message

    def test_force_starts_at_once(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        An operator may have given the container more memory.
        """
        crash(attempts, locks)
        crash(attempts, locks)
        with locks.hold(NAMES) as lease, attempts.recording(NAMES, lease, force=True):
            assert record_of(attempts).state == "issuing"

    def test_an_end_of_any_kind_ends_the_count(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A recorded failure ends the row of crashes.
        """
        crash(attempts, locks)
        fail(attempts, locks, TIMED_OUT)

        assert (0, 1) == (record_of(attempts).crashes, record_of(attempts).attempts)


class TestFailures:
    def test_they_are_repeated_after_1_10_100_minutes_then_daily(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        The pauses are those of Let's Encrypt's integration guide, and no name is given up.
        """
        waits = [fail(attempts, locks, TIMED_OUT) / MINUTE for _ in range(40)]

        for expected, wait in zip((1, 10, 100, *[1440] * 37), waits, strict=True):
            assert expected <= wait <= 1.1 * expected

    def test_a_bug_is_a_failure_like_others(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A bug waits as long as a refusal of the CA.
        """
        fail(attempts, locks, ZeroDivisionError())

        assert Unexpected.code == record_of(attempts).code

    def test_one_that_was_ended_from_outside_says_why(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A job that exceeds its time limit is no bug of certworker.
        """

        class OutOfTime(Interrupted):
            failure = JobTimedOut(seconds=600)

        fail(attempts, locks, OutOfTime())

        assert JobTimedOut.code == record_of(attempts).code

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (RedisConnectionError("Connection reset by peer"), "redis.unreachable"),
            (ReadOnlyError("You can't write against a read only replica."), "redis.readonly"),
            (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "redis.oom"),
            (NoPermissionError("no permissions to run the 'eval' command"), "redis.rights"),
            (ResponseError("WRONGTYPE Operation against a key"), "redis.fault"),
        ],
        ids=lambda given: given if isinstance(given, str) else "",
    )
    def test_an_error_of_redis_is_one_with_its_own_code(
        self, attempts: Attempts, locks: DomainLocks, error: RedisError, code: str
    ) -> None:
        """
        It is retried sooner than a refusal of the CA, and is not reported as a bug.
        """
        with (
            pytest.raises(CertworkerError) as failed,
            locks.hold(NAMES) as lease,
            attempts.recording(NAMES, lease, force=False),
        ):
            raise error

        record = record_of(attempts)
        assert (code, code) == (failed.value.code, record.code)
        assert attempts.address in str(record.message)
        if failed.value.retry is Retry.SOON:
            assert record.next_check
            assert record.next_check - NOW < MINUTE

    def test_a_worker_without_its_lease_records_nothing(
        self, attempts: Attempts, locks: DomainLocks, connection: redis.Redis
    ) -> None:
        """
        The worker that has the lease now records the result.
        """
        fail(attempts, locks, TIMED_OUT, lambda: connection.set("certworker:lock:a.org", "somebody else"))

        assert record_of(attempts).state == "issuing"


def ending(*validities: timedelta) -> Callable[[Sequence[str]], list[Validity]]:
    """
    Return certificates of 160 hours in service, one for each of the remaining *validities*.
    """
    return lambda _: [Validity(NOW + left - timedelta(hours=160), NOW + left, "04ab") for left in validities]


class TestUrgency:
    @pytest.mark.parametrize("left", [timedelta(hours=16), timedelta(0), -timedelta(hours=16)])
    def test_the_volume_says_how_urgent_the_next_attempt_is(
        self, attempts: Attempts, locks: DomainLocks, left: timedelta
    ) -> None:
        """
        The pause is right after Redis has lost the record of the certificate, too.
        """
        urgent = replace(attempts, validities=ending(timedelta(hours=100), left))
        waits = [fail(urgent, locks, TIMED_OUT) for _ in range(5)]

        assert max(waits) <= 2.2 * timedelta(hours=1)

    def test_the_pause_after_crashes_is_shorter_as_well(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A name that crashes workers is tried more often than once a day before its certificate expires.
        """
        urgent, now = replace(attempts, validities=ending(timedelta(hours=16))), NOW
        for _ in range(6):
            wait = crash(later(urgent, now), locks)
            now += wait

        assert wait <= timedelta(hours=2, minutes=2)

    def test_a_volume_that_cannot_be_read_hides_no_failure(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        The pause is that of a name without a certificate.
        """

        def unreadable(_: Sequence[str]) -> list[Validity]:
            raise SchemaTooNew(where="meta.json", found=2, known=1)

        assert MINUTE <= fail(replace(attempts, validities=unreadable), locks, TIMED_OUT) <= 1.1 * MINUTE
        assert TIMED_OUT.code == record_of(attempts).code


class TestDryRun:
    def test_it_takes_place_after_a_validation_that_failed_until_one_succeeds(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        Production counts each failed validation; staging has generous limits.
        """
        held: list[tuple[str, ...]] = []
        attempts.dry_run(NAMES, held.append)
        fail(attempts, locks, TIMED_OUT)
        with pytest.raises(HttpTimeout):
            attempts.dry_run(NAMES, refuse)
        attempts.dry_run(NAMES, held.append)
        attempts.dry_run(NAMES, held.append)

        assert [NAMES] == held
