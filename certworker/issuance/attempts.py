"""
Records each attempt to issue: its start, its outcome, and the time of the next attempt.

::

    started ──► issued    the next check is for the renewal
      │  └────► failed    the pauses of :mod:`certworker.renewal.timing`, or the time the failure names
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
from certworker.renewal.timing import crash_backoff, next_attempt
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
        address: Where Redis is, for people.
        lives: Of the certificates in service for some names, as the volume knows them. Redis may forget them.
    """

    records: DomainRecords
    agenda: Agenda
    clock: Callable[[], datetime]
    random: Random
    address: str
    lives: Callable[[Sequence[str]], Iterable[Validity]]

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
        pause = crash_backoff(self._crash_count(names, force), self._life(names), self.clock())
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

    def not_begun(self, names: tuple[str, ...], failure: CertworkerError) -> None:
        """
        Record *failure*, which ended an attempt for *names* before it began, and plan the next attempt.
        """
        now = self.clock()
        attempts = self.records.attempts(names[0]) + 1
        again = next_attempt(failure, attempts, now, self.random, self._life(names))
        self.records.record_failed(names, failure, next_check=again, now=now)
        self.agenda.put_many(dict.fromkeys(names, again))

    def held_elsewhere(self, names: tuple[str, ...], lease: timedelta) -> None:
        """
        Plan a check of *names* after the *lease* of another job, which has one of them.

        That job plans a later one when it ends. It may have died before it planned any.
        """
        again = self.clock() + lease + LEASE_GRACE
        self.agenda.put_many(dict.fromkeys(names, again), at_the_latest=True)

    def dry_run(self, names: tuple[str, ...], rehearsal: Callable[[tuple[str, ...]], None]) -> None:
        """
        Let *rehearsal* show that *names* can be validated, if they could not the last time.

        Raises:
            CertworkerError: What *rehearsal* raises; there is one before each attempt until it returns.
        """
        if self.records.needs_dry_run(names[0]):
            rehearsal(names)
            self.records.record_dry_run(names)

    def has_succeeded(self, facts: CertificateMetadata) -> bool:
        """
        Return whether it is recorded that the certificate with these *facts* is in service.
        """
        try:
            record = self.records.read(facts.names[0])
        except RedisError:
            return False
        return record is not None and (record.state, record.serial) == ("issued", facts.serial)

    def succeeded(self, facts: CertificateMetadata, lease: Lease, next_check: datetime) -> bool:
        """
        Record that the certificate with these *facts* is in service, until *next_check* at least.

        Returns:
            Whether it is recorded; without the lease another worker knows more.
        """
        if not lease.still_held():
            return False
        self.records.record_issued(
            facts.names,
            not_before=facts.not_before,
            not_after=facts.not_after,
            serial=facts.serial,
            authority=facts.authority,
            next_check=next_check,
            now=self.clock(),
        )
        self.agenda.put_many(dict.fromkeys(facts.names, next_check))
        return True

    def tidy(self, forget: Callable[[], object]) -> None:
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
        again = next_attempt(failure, attempts, self.clock(), self.random, self._life(names))
        self.records.record_failed(names, failure, next_check=again, now=self.clock())
        self.agenda.put_many(dict.fromkeys(names, again))

    def _life(self, names: tuple[str, ...]) -> Validity | None:
        """
        Return the life that ends first among the certificates in service for *names*.
        """
        # A volume that cannot be read has a failure of its own, and must not hide this one.
        with suppress(CertworkerError):
            return min(self.lives(names), key=lambda life: life.not_after, default=None)
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
