"""
Records each attempt to issue: its start, its outcome, and the time of the next attempt.

::

    started ──► issued    the next check is for the renewal
      │  └────► failed    the pauses of :mod:`certworker.renewal.policy`, or the time the failure names
      └───────► nothing   the worker crashed: after the lease; from the second crash on with growing pauses

The next check is on the agenda before the attempt starts, so every attempt has a successor.
While a certificate in service loses its life, the pauses get shorter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from redis.exceptions import RedisError

from certworker.errors import CertworkerError, Interrupted
from certworker.errors.worker import Unexpected, WorkerCrashed
from certworker.redis.failures import to_failure
from certworker.renewal.agenda import Agenda
from certworker.renewal.policy import crash_backoff, next_attempt
from certworker.state.domain_records import DomainRecords
from certworker.state.locks import Lease
from certworker.storage.metadata import CertificateMetadata
from certworker.validity import Validity

logger = logging.getLogger(__name__)

#: An attempt that nobody finished is looked at again this long after its lease has ended.
LEASE_GRACE = timedelta(seconds=2)


@dataclass(frozen=True)
class Attempts:
    """
    The attempts for all names.

    Attributes:
        address: The address of Redis, for messages.
        validities: Return the validity of each certificate in service for some names, read from the volume.
    """

    records: DomainRecords
    agenda: Agenda
    clock: Callable[[], datetime]
    random: Random
    address: str
    validities: Callable[[Sequence[str]], Iterable[Validity]]

    @contextmanager
    def recording(self, names: tuple[str, ...], lease: Lease, *, force: bool) -> Iterator[None]:
        """
        Record an attempt for *names* for the length of the block, and its failure if that is how it ends.

        Args:
            force: Somebody insists: deaths of workers are no reason to wait.

        Raises:
            WorkerCrashed: Two workers in a row have, and it is not yet time for the third.
            CertworkerError: What was wrong with Redis, where the block ended with its error; Unexpected for
                any other exception that is none of certworker's.
        """
        pause = crash_backoff(self._crash_count(names, force), self._validity(names), self.clock())
        again = self.clock() + lease.duration + LEASE_GRACE + pause
        self.records.start_attempt(names, next_check=again, now=self.clock())
        self.agenda.put_many(dict.fromkeys(names, again))
        try:
            yield
        except RedisError as error:
            failure = to_failure(error, self.address)
            with suppress(RedisError):
                self._failed(names, lease, failure)
            raise failure from error
        except Exception as fault:
            told = fault.failure if isinstance(fault, Interrupted) else fault
            # A fault of our own waits like a refusal of the CA, lest it asks the CA again and again.
            if isinstance(told, CertworkerError):
                self._failed(names, lease, told)
                raise
            unexpected = Unexpected(fault=repr(fault))
            with suppress(RedisError):
                self._failed(names, lease, unexpected)
            raise unexpected from fault

    def record_not_started(self, names: tuple[str, ...], failure: CertworkerError) -> None:
        """
        Record *failure*, which ended an attempt for *names* before it began, and plan the next attempt.
        """
        now = self.clock()
        attempts = self.records.attempts(names[0]) + 1
        again = next_attempt(failure, attempts, now, self.random, self._validity(names))
        self.records.record_failed(names, failure, next_check=again, now=now)
        self.agenda.put_many(dict.fromkeys(names, again))

    def plan_after_lease(self, names: tuple[str, ...], lease: timedelta) -> None:
        """
        Plan a check of *names* after the *lease* of another job, which has one of them.

        That job plans a later one when it ends. It may have died before it planned any.
        """
        again = self.clock() + lease + LEASE_GRACE
        self.agenda.put_many(dict.fromkeys(names, again), at_the_latest=True)

    def dry_run(self, names: tuple[str, ...], run: Callable[[tuple[str, ...]], None]) -> None:
        """
        Let *run* show that *names* can be validated, if they could not the last time.

        Raises:
            CertworkerError: What *run* raises; there is one before each attempt until it returns.
        """
        if self.records.needs_dry_run(names[0]):
            run(names)
            self.records.record_dry_run(names)

    def is_recorded_as_issued(self, metadata: CertificateMetadata) -> bool:
        """
        Return whether it is recorded that the certificate with these *metadata* is in service.
        """
        try:
            record = self.records.read(metadata.names[0])
        except RedisError:
            return False
        return record is not None and (record.state, record.serial) == ("issued", metadata.serial)

    def record_success(self, metadata: CertificateMetadata, lease: Lease, next_check: datetime) -> bool:
        """
        Record that the certificate with these *metadata* is in service, until *next_check* at least.

        Returns:
            Whether it is recorded; without the lease another worker knows more.
        """
        if not lease.still_held():
            return False
        self.records.record_issued(
            metadata.names,
            not_before=metadata.not_before,
            not_after=metadata.not_after,
            serial=metadata.serial,
            authority=metadata.authority,
            next_check=next_check,
            now=self.clock(),
        )
        self.agenda.put_many(dict.fromkeys(metadata.names, next_check))
        return True

    def clean_up(self, forget: Callable[[], object]) -> None:
        """
        Call *forget* after a success. Where it fails the certificate is in service all the same, and the next
        attempt calls it again.
        """
        try:
            forget()
        except (CertworkerError, RedisError) as failure:
            logger.debug("what the attempt needed is forgotten later: %s", failure)

    def _failed(self, names: tuple[str, ...], lease: Lease, failure: CertworkerError) -> None:
        if not lease.still_held():
            return  # whoever has the names meanwhile knows more than we do
        attempts = self.records.attempts(names[0]) + 1
        again = next_attempt(failure, attempts, self.clock(), self.random, self._validity(names))
        self.records.record_failed(names, failure, next_check=again, now=self.clock())
        self.agenda.put_many(dict.fromkeys(names, again))

    def _validity(self, names: tuple[str, ...]) -> Validity | None:
        """
        Return the life that ends first among the certificates in service for *names*.
        """
        # A volume that cannot be read has a failure of its own, and must not hide this one.
        with suppress(CertworkerError):
            return min(self.validities(names), key=lambda validity: validity.not_after, default=None)
        return None

    def _crash_count(self, names: tuple[str, ...], force: bool) -> int:
        """
        How many workers in a row died of *names*.
        """
        record = self.records.read(names[0])
        if record is None or record.state != "issuing":
            return 0
        again = record.next_check
        if record.crashes > 1 and not force and again and again > self.clock():
            self.agenda.put_many(dict.fromkeys(names, again))
            raise WorkerCrashed(
                until=again, times=record.crashes, name=names[0], moment=f"{again:%Y-%m-%d %H:%M} UTC"
            )
        return record.crashes
