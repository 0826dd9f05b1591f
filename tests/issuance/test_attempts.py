"""
Tests of the record and the next attempt of each attempt.
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
    Stop a worker without any cleanup.
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
    Make an attempt that ends with *fault*. Return the time until the next attempt.
    """
    suppressed = suppress(type(fault), Unexpected)
    with (
        suppressed,
        locks.hold(NAMES) as lease,
        attempts.recording(NAMES, lease, attempts.records.read(NAMES[0]), force=False),
    ):
        before()
        raise fault
    next_check = attempts.agenda.next_check(NAMES[0])
    assert next_check is not None
    return next_check - attempts.clock()


def crash(attempts: Attempts, locks: DomainLocks) -> timedelta:
    """
    Crash a worker. Return the time until the next attempt.
    """
    return fail(attempts, locks, Killed())


def later(attempts: Attempts, now: datetime) -> Attempts:
    """
    Return the same attempts at *now*.
    """
    return replace(attempts, clock=lambda: now)


def fail_dry_run(names: tuple[str, ...]) -> None:
    """
    Raise the failure of a dry run whose cause still exists.
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
    def test_the_attempt_after_a_crash_follows_the_lease(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        After one crash, the next attempt follows the end of the lease. Most crashes are deployments.
        """
        assert crash(attempts, locks) == LEASE + LEASE_GRACE

    def test_repeated_crashes_lead_to_one_attempt_a_day(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        The pauses after repeated crashes grow to a day, so that the name does not block others.
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

    def test_no_attempt_begins_before_the_end_of_the_pause(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        An attempt before the end of the pause fails with `WorkerCrashed`, for example after a restart.
        """
        crash(attempts, locks)
        wait = crash(attempts, locks)
        with (
            pytest.raises(WorkerCrashed) as caught,
            locks.hold(NAMES) as lease,
            attempts.recording(NAMES, lease, attempts.records.read(NAMES[0]), force=False),
        ):
            pass

        assert NOW + wait == caught.value.until == attempts.agenda.next_check(NAMES[0])
        assert "2 times" in caught.value.message

    def test_a_forced_attempt_starts_at_once(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A forced attempt does not wait for the end of the pause.
        """
        crash(attempts, locks)
        crash(attempts, locks)
        with (
            locks.hold(NAMES) as lease,
            attempts.recording(NAMES, lease, attempts.records.read(NAMES[0]), force=True),
        ):
            assert record_of(attempts).state == "issuing"

    def test_a_failure_resets_the_number_of_crashes(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A recorded failure resets the number of crashes.
        """
        crash(attempts, locks)
        fail(attempts, locks, TIMED_OUT)

        assert (0, 1) == (record_of(attempts).crashes, record_of(attempts).attempts)


class TestFailures:
    def test_failures_are_retried_after_1_10_100_minutes_then_daily(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        The pauses are those of Let's Encrypt's integration guide, and the retries never end.
        """
        waits = [fail(attempts, locks, TIMED_OUT) / MINUTE for _ in range(40)]

        for expected, wait in zip((1, 10, 100, *[1440] * 37), waits, strict=True):
            assert expected <= wait <= 1.1 * expected

    def test_an_unexpected_error_is_a_failure(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        An unexpected error is retried like a refusal of the CA.
        """
        fail(attempts, locks, ZeroDivisionError())

        assert Unexpected.code == record_of(attempts).code

    def test_an_interrupted_attempt_has_its_reason(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A job that exceeds its timeout has its own code, and is not an unexpected error.
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
    def test_an_error_of_redis_has_its_own_code(
        self, attempts: Attempts, locks: DomainLocks, error: RedisError, code: str
    ) -> None:
        """
        An error of Redis has its own code and the address. Most are retried sooner than a refusal of
        the CA.
        """
        with (
            pytest.raises(CertworkerError) as failed,
            locks.hold(NAMES) as lease,
            attempts.recording(NAMES, lease, attempts.records.read(NAMES[0]), force=False),
        ):
            raise error

        record = record_of(attempts)
        assert (code, code) == (failed.value.code, record.code)
        assert attempts.address in str(record.message)
        if failed.value.retry is Retry.SOON:
            assert record.next_check
            assert record.next_check - NOW < MINUTE

    def test_a_worker_without_its_lease_records_no_result(
        self, attempts: Attempts, locks: DomainLocks, connection: redis.Redis
    ) -> None:
        """
        A worker that lost its lease records no result, because another worker records it.
        """
        fail(attempts, locks, TIMED_OUT, lambda: connection.set("certworker:lock:a.org", "another worker"))

        assert record_of(attempts).state == "issuing"


def ending(*validities: timedelta) -> Callable[[Sequence[str]], list[Validity]]:
    """
    Return a function with certificates of 160 hours, one for each of the remaining *validities*.
    """
    return lambda _: [Validity(NOW + left - timedelta(hours=160), NOW + left, "04ab") for left in validities]


class TestUrgency:
    @pytest.mark.parametrize("left", [timedelta(hours=16), timedelta(0), -timedelta(hours=16)])
    def test_the_pause_depends_on_the_certificate_on_the_volume(
        self, attempts: Attempts, locks: DomainLocks, left: timedelta
    ) -> None:
        """
        The pause depends on the validity of the certificate on the volume, even without a record in
        Redis.
        """
        urgent = replace(attempts, validities=ending(timedelta(hours=100), left))
        waits = [fail(urgent, locks, TIMED_OUT) for _ in range(5)]

        assert max(waits) <= 2.2 * timedelta(hours=1)

    def test_an_expiring_certificate_shortens_the_pause_after_crashes(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        The pauses after crashes are shorter than a day if the certificate expires soon.
        """
        urgent, now = replace(attempts, validities=ending(timedelta(hours=16))), NOW
        for _ in range(6):
            wait = crash(later(urgent, now), locks)
            now += wait

        assert wait <= timedelta(hours=2, minutes=2)

    def test_an_unreadable_volume_does_not_hide_the_failure(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        With an unreadable volume, the failure is recorded with the pause of a name without a
        certificate.
        """

        def unreadable(_: Sequence[str]) -> list[Validity]:
            raise SchemaTooNew(where="meta.json", found=2, known=1)

        assert MINUTE <= fail(replace(attempts, validities=unreadable), locks, TIMED_OUT) <= 1.1 * MINUTE
        assert TIMED_OUT.code == record_of(attempts).code


class TestDryRun:
    def test_a_failed_validation_requires_a_successful_dry_run(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        After a failed validation, dry runs take place until one succeeds. Production limits failed
        validations.
        """
        completed: list[tuple[str, ...]] = []
        attempts.dry_run(NAMES, attempts.records.read(NAMES[0]), completed.append)
        fail(attempts, locks, TIMED_OUT)
        with pytest.raises(HttpTimeout):
            attempts.dry_run(NAMES, attempts.records.read(NAMES[0]), fail_dry_run)
        attempts.dry_run(NAMES, attempts.records.read(NAMES[0]), completed.append)
        attempts.dry_run(NAMES, attempts.records.read(NAMES[0]), completed.append)

        assert [NAMES] == completed
