"""
The attempts in the ledger: whatever happens, a next moment stands on the agenda.
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
    What ends a worker without a word.
    """


@pytest.fixture
def locks(connection: redis.Redis) -> DomainLocks:
    """
    The locks of one worker.
    """
    return DomainLocks(connection, LEASE.total_seconds(), highest_token=lambda: 0)


@pytest.fixture
def attempts(connection: redis.Redis) -> Attempts:
    """
    The attempts at :data:`NOW`.
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
    Let an attempt end in *fault*; how long the next one is away.
    """
    suppressed = suppress(type(fault), Unexpected)
    with suppressed, locks.hold(NAMES) as lease, attempts.recording(NAMES, lease, force=False):
        before()
        raise fault
    again = attempts.agenda.next_check(NAMES[0])
    assert again is not None
    return again - attempts.clock()


def die(attempts: Attempts, locks: DomainLocks) -> timedelta:
    """
    Let a worker die; how long the next attempt is away.
    """
    return fail(attempts, locks, Killed())


def later(attempts: Attempts, moment: datetime) -> Attempts:
    """
    The same attempts at *moment*.
    """
    return replace(attempts, clock=lambda: moment)


def refuse(names: tuple[str, ...]) -> None:
    """
    A rehearsal that shows that nothing is mended.
    """
    raise HttpTimeout(name=names[0], address="203.0.113.7")


def record_of(attempts: Attempts) -> DomainRecord:
    """
    The record of the only name.
    """
    record = attempts.records.read(NAMES[0])
    assert record is not None
    return record


class TestDeaths:
    def test_the_first_one_is_gone_on_after_as_soon_as_its_lease_has_ended(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        A deployment, a power cut: mostly nothing is wrong.
        """
        assert die(attempts, locks) == LEASE + LEASE_GRACE

    def test_a_loop_of_them_slows_down_to_one_a_day(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A name that kills workers must neither hammer the CA nor keep the others from theirs.
        """
        waits, now = [], NOW
        for _ in range(8):
            wait = die(later(attempts, now), locks)
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

    def test_nobody_begins_before_that_moment(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A container that restarts asks for its own domains each time.
        """
        die(attempts, locks)
        wait = die(attempts, locks)
        with (
            pytest.raises(WorkerCrashed) as caught,
            locks.hold(NAMES) as lease,
            attempts.recording(NAMES, lease, force=False),
        ):
            pass

        assert NOW + wait == caught.value.until == attempts.agenda.next_check(NAMES[0])
        assert "2 times" in caught.value.message

    def test_a_person_may_insist(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        They have given the container more memory.
        """
        die(attempts, locks)
        die(attempts, locks)
        with locks.hold(NAMES) as lease, attempts.recording(NAMES, lease, force=True):
            assert record_of(attempts).state == "issuing"

    def test_an_end_of_any_kind_ends_the_count(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A failure has been told; it is counted as one.
        """
        die(attempts, locks)
        fail(attempts, locks, TIMED_OUT)

        assert (0, 1) == (record_of(attempts).crashes, record_of(attempts).attempts)


class TestFailures:
    def test_they_are_repeated_after_1_10_100_minutes_then_daily_and_for_ever(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        What Let's Encrypt's integration guide asks for; nothing is given up in silence.
        """
        waits = [fail(attempts, locks, TIMED_OUT) / MINUTE for _ in range(40)]

        for expected, wait in zip((1, 10, 100, *[1440] * 37), waits, strict=True):
            assert expected <= wait <= 1.1 * expected

    def test_a_fault_of_our_own_is_one_of_them(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        It waits as patiently, lest it asks the CA again and again.
        """
        fail(attempts, locks, ZeroDivisionError())

        assert Unexpected.code == record_of(attempts).code

    def test_one_that_was_ended_from_outside_says_why(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        The time of a job is over, and that is no fault of certworker's.
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
        It passes sooner than a refusal of the CA, and is no fault of ours to be reported.
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

    def test_a_worker_that_has_lost_its_lease_has_nothing_to_say(
        self, attempts: Attempts, locks: DomainLocks, connection: redis.Redis
    ) -> None:
        """
        Another one is at work, or has been; its word counts.
        """
        fail(attempts, locks, TIMED_OUT, lambda: connection.set("certworker:lock:a.org", "somebody else"))

        assert record_of(attempts).state == "issuing"


def ending(*validities: timedelta) -> Callable[[Sequence[str]], list[Validity]]:
    """
    Certificates of 160 hours in service, one for each of the remaining *validities*.
    """
    return lambda _: [Validity(NOW + left - timedelta(hours=160), NOW + left, "04ab") for left in validities]


class TestLosingLife:
    @pytest.mark.parametrize("left", [timedelta(hours=16), timedelta(0), -timedelta(hours=16)])
    def test_the_volume_says_how_urgent_the_next_attempt_is(
        self, attempts: Attempts, locks: DomainLocks, left: timedelta
    ) -> None:
        """
        An emptied Redis knows no certificate; the pause must not be a day for that.
        """
        urgent = replace(attempts, validities=ending(timedelta(hours=100), left))
        waits = [fail(urgent, locks, TIMED_OUT) for _ in range(5)]

        assert max(waits) <= 2.2 * timedelta(hours=1)

    def test_the_pause_after_deaths_is_shorter_as_well(self, attempts: Attempts, locks: DomainLocks) -> None:
        """
        A name that kills workers is tried more often than once a day before its certificate ends.
        """
        urgent, now = replace(attempts, validities=ending(timedelta(hours=16))), NOW
        for _ in range(6):
            wait = die(later(urgent, now), locks)
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


class TestRehearse:
    def test_it_takes_place_after_a_validation_that_failed_until_one_succeeds(
        self, attempts: Attempts, locks: DomainLocks
    ) -> None:
        """
        Each failure in production is counted; staging is there to fail.
        """
        held: list[tuple[str, ...]] = []
        attempts.dry_run(NAMES, held.append)
        fail(attempts, locks, TIMED_OUT)
        with pytest.raises(HttpTimeout):
            attempts.dry_run(NAMES, refuse)
        attempts.dry_run(NAMES, held.append)
        attempts.dry_run(NAMES, held.append)

        assert [NAMES] == held
