"""
Records each attempt to issue: its start, its outcome, and the time of the next attempt.

::

    started ──► issued    the next check decides whether a renewal is due
      │  └────► failed    after the pauses of :mod:`certworker.renewal.policy`, or when the failure allows it
      └───────► nothing   the worker crashed: after the lease, plus a growing pause from the second crash on

The next check is on the agenda before the attempt starts, so that a crash loses no name. The pauses get
shorter while a certificate in service approaches its expiry.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from redis.client import Pipeline
from redis.exceptions import RedisError

from certworker.errors import CertworkerError, Interrupted
from certworker.errors.worker import Unexpected, WorkerCrashed
from certworker.minutes import not_before
from certworker.redis.codec import decode_text
from certworker.redis.failures import to_failure
from certworker.renewal.agenda import Agenda
from certworker.renewal.policy import crash_backoff, next_attempt
from certworker.state.domain_records import DomainRecord, DomainRecords, tenant_in
from certworker.state.forced_request import ForcedRequest
from certworker.state.locks import AddCommands, Lease
from certworker.storage.metadata import CertificateMetadata
from certworker.validity import Validity

logger = logging.getLogger(__name__)

#: The names of a crashed attempt are checked again this long after its lease expires.
LEASE_GRACE = timedelta(seconds=2)


@dataclass(frozen=True)
class Success:
    """
    A recorded success.
    """

    #: The record of the first name.
    record: DomainRecord
    #: The replies to the commands that remove what the attempt no longer needs, or their errors.
    cleaned_up: Sequence[Any]


@dataclass(frozen=True)
class Attempts:
    """
    Records the attempts for all names.

    Attributes:
        address: The address of Redis, for messages.
        validities: Returns the validity of each certificate in service for some names, read from the volume.
    """

    records: DomainRecords
    agenda: Agenda
    clock: Callable[[], datetime]
    random: Random
    address: str
    validities: Callable[[Sequence[str]], Iterable[Validity]]

    @contextmanager
    def recording(
        self, names: tuple[str, ...], lease: Lease, record: DomainRecord | None, *, force: bool
    ) -> Iterator[None]:
        """
        Record an attempt for *names* within the block, and its failure if the block raises one.

        Args:
            names: The names.
            lease: The lock on the names.
            record: The record of the first name; None: there is none.
            force: Start now, even after several crashes in a row.

        Raises:
            WorkerCrashed: At least two workers in a row crashed, *force* is False, and the time of the next
                attempt has not come.
            CertworkerError: The failure of the block, or of Redis. Unexpected replaces any other exception.
            Interrupted: The block was interrupted. The failure in the exception is recorded.
            redis.RedisError: The start of the attempt, or its failure, could not be recorded.
        """
        failures = record.attempts if record else 0
        crashes = self._crash_count(names, record, force=force)
        pause = crash_backoff(crashes, self._validity(names), self.clock())
        again = self.clock() + lease.duration + LEASE_GRACE + pause
        self._plan(names, again, partial(self.records.start_attempt, names))
        try:
            yield
        except RedisError as error:
            failure = to_failure(error, self.address)
            with suppress(RedisError):
                self._failed(names, lease, failure, failures)
            raise failure from error
        except Exception as fault:
            expected = fault.failure if isinstance(fault, Interrupted) else fault
            if isinstance(expected, CertworkerError):
                self._failed(names, lease, expected, failures)
                raise
            # After a bug, the pauses are as long as after a failed validation: the CA gets few orders.
            unexpected = Unexpected(fault=repr(fault))
            with suppress(RedisError):
                self._failed(names, lease, unexpected, failures)
            raise unexpected from fault

    @contextmanager
    def recording_before_the_start(self, names: tuple[str, ...]) -> Iterator[None]:
        """
        Record a failure of the block, which prevents an attempt for *names*.
        """
        try:
            yield
        except CertworkerError as failure:
            self.record_not_started(names, failure)
            raise

    def record_not_started(self, names: tuple[str, ...], failure: CertworkerError) -> None:
        """
        Record *failure*, which prevented an attempt for *names*, and plan the next attempt.
        """
        now = self.clock()
        attempts = self.records.attempts(names[0]) + 1
        again = next_attempt(failure, attempts, now, self.random, self._validity(names))
        self._plan(names, again, partial(self.records.record_failed, names, failure))

    def plan_after_lease(self, names: tuple[str, ...], lease: timedelta) -> None:
        """
        Plan a check of *names* after the *lease* of another job, which holds the lock on one of them.

        That job plans the next check of its names when it ends, unless its worker crashes.
        """
        again = self.clock() + lease + LEASE_GRACE
        self.agenda.put_many(dict.fromkeys(names, again), at_the_latest=True)

    def dry_run(
        self, names: tuple[str, ...], record: DomainRecord | None, run: Callable[[tuple[str, ...]], None]
    ) -> None:
        """
        Call *run* to validate *names* if their last validation failed.

        Args:
            names: The names.
            record: The record of the first name; None: there is none.
            run: Validates the names.

        Raises:
            CertworkerError: The validation failed. The next attempts also call *run*, until it succeeds.
        """
        # A dry run at an earlier CA of this attempt may have succeeded.
        if record and record.needs_dry_run and self.records.needs_dry_run(names[0]):
            run(names)
            self.records.record_dry_run(names)

    def is_recorded_as_issued(self, metadata: CertificateMetadata) -> bool:
        """
        Return whether the certificate with this *metadata* is recorded as issued; False if Redis fails.
        """
        try:
            record = self.records.read(metadata.names[0])
        except RedisError:
            return False
        return record is not None and (record.state, record.serial) == ("issued", metadata.serial)

    def record_success(
        self,
        metadata: CertificateMetadata,
        lease: Lease,
        next_check: datetime,
        clean_up: AddCommands,
        forced: ForcedRequest | None = None,
    ) -> Success | None:
        """
        Record that the certificate with this *metadata* is in service, and plan its *next_check*.

        Args:
            metadata: The metadata of the certificate.
            lease: The lock on its names.
            next_check: The time of its next check.
            clean_up: Adds commands that remove what the attempt no longer needs. These commands may fail.
            forced: The forced request that the certificate completes; None: there is none.

        Returns:
            None if the lease is lost: then another worker records the result.
        """
        names, score, now = metadata.names, next_check.timestamp(), self.clock()

        def add(pipe: Pipeline) -> None:
            completed = forced.id if forced else None
            self.records.record_issued(
                names, metadata, next_check=next_check, now=now, completed=completed, pipe=pipe
            )
            self.agenda.add(pipe, dict.fromkeys(names, score))

        def add_optional(pipe: Pipeline) -> None:
            self.records.add_tenant(names[0], pipe)
            clean_up(pipe)

        if (replies := lease.write(add, add_optional)) is None:
            return None
        written, (tenant, *cleaned_up) = replies
        first, earliest = written[-1]
        # Another name with the same time has a wake-up already.
        if float(earliest) >= score and decode_text(first) in names:
            self.agenda.wake(next_check)
        record = DomainRecord(
            name=names[0],
            names=names,
            state="issued",
            code="",
            message="",
            remedy="",
            attempts=0,
            crashes=0,
            not_before=metadata.not_before,
            not_after=metadata.not_after,
            serial=metadata.serial,
            authority=metadata.authority,
            next_check=next_check,
            updated=now,
            tenant=tenant_in(tenant),
        )
        return Success(record, cleaned_up)

    def record_covered(
        self, names: tuple[str, ...], metadata: CertificateMetadata, next_check: datetime
    ) -> None:
        """
        Record that a wildcard covers *names*, and plan their *next_check*.

        Args:
            names: The names.
            metadata: The metadata of the wildcard's certificate.
            next_check: The time of their next check.
        """
        self._plan(names, next_check, partial(self.records.record_issued, names, metadata, covered=True))

    def clean_up(self, forget: Callable[[], object]) -> None:
        """
        Call *forget* after a success. If the call fails, the next attempt repeats it.
        """
        try:
            forget()
        except (CertworkerError, RedisError) as failure:
            logger.debug("could not clean up after the attempt; the next attempt repeats it: %s", failure)

    def _plan(self, names: tuple[str, ...], again: datetime, record: Callable[..., object]) -> None:
        """
        Record the state of *names* and plan their next check at *again*, in one transaction.
        """
        self.agenda.put_many(
            dict.fromkeys(names, again),
            with_records=lambda pipe: record(next_check=again, now=self.clock(), pipe=pipe),
        )

    def _failed(
        self, names: tuple[str, ...], lease: Lease, failure: CertworkerError, failures_before: int
    ) -> None:
        if not lease.still_held():
            return  # another worker has the lease, and records the result
        now, validity = self.clock(), self._validity(names)
        again = next_attempt(failure, failures_before + 1, now, self.random, validity)
        self._plan(names, again, partial(self.records.record_failed, names, failure))

    def _validity(self, names: tuple[str, ...]) -> Validity | None:
        """
        Return the validity of the certificate in service for *names* that expires first.

        Return None if there is none, or if the volume cannot be read.
        """
        # A volume that cannot be read must not hide the failure of the attempt.
        with suppress(CertworkerError):
            return min(self.validities(names), key=lambda validity: validity.not_after, default=None)
        return None

    def _crash_count(self, names: tuple[str, ...], record: DomainRecord | None, *, force: bool) -> int:
        """
        Return how many workers in a row crashed during an attempt for *names*.

        Raises:
            WorkerCrashed: It is too early for another attempt.
        """
        if record is None or record.state != "issuing":
            return 0
        again = record.next_check
        if record.crashes > 1 and not force and again and again > self.clock():
            self.agenda.put_many(dict.fromkeys(names, again))
            raise WorkerCrashed(until=again, times=record.crashes, name=names[0], moment=not_before(again))
        return record.crashes
