"""
Adds names on the volume that are missing from the agenda, and adopts the certificates of other programs.

Redis may lose any key at any time; the volume has every certificate.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random

from certworker.domains import is_name
from certworker.errors import CertworkerError, Retry, catalog
from certworker.errors.acct import AccountKeyUnreadable
from certworker.errors.fs import ClockSkew, VolumeReadOnly
from certworker.errors.worker import AlreadyInProgress, SchemaTooNew
from certworker.renewal.agenda import Agenda
from certworker.renewal.due import known_metadata
from certworker.renewal.policy import NEVER, in_words, next_check, planned_renewal
from certworker.state.domain_records import DomainRecords
from certworker.state.recorded_states import RecordedStates
from certworker.storage.adoption import adopt_together
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import CertificateMetadata
from certworker.supervision import beat
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)

#: The maximum number of names whose records are read, or whose checks are planned, together.
NAMES_AT_A_TIME = 1_000
#: The number of names that are compared and published together.
NAMES_PER_BATCH = 500

#: No check is planned further ahead: the longest pause is 1.1 days.
LONGEST_PLAN = timedelta(days=2)
#: Names whose check was planned further ahead are checked at random times within this period.
RESTORE_WITHIN = timedelta(minutes=10)

#: The states whose cause the operator may have ended before a start.
RETRIED = ("failed", "moved")
#: Failures that end with a change to a file or the clock, or with a newer certworker, while the settings stay
#: the same.
#: Each start retries them: an attempt that fails again places no order.
RETRIED_AT_EACH_START = frozenset(
    {VolumeReadOnly.code, AccountKeyUnreadable.code, SchemaTooNew.code, ClockSkew.code}
)

#: The minimum time between two log lines about the progress. A shorter comparison logs no progress.
PROGRESS_INTERVAL = timedelta(seconds=10)


class Progress:
    """
    Logs the progress of the comparison of the volume with the agenda.

    Args:
        total: The number of names.
        clock: Returns the time in UTC.
    """

    def __init__(self, total: int, clock: Callable[[], datetime]) -> None:
        self._total = total
        self._clock = clock
        self._began = self._logged = clock()
        self._done = 0
        #: The number of names adopted from other programs.
        self.adopted = 0

    def add(self, done: int, *, adopted: int) -> None:
        """
        Count *done* more names and the *adopted* ones among them; log the progress at most every ten seconds.
        """
        self._done += done
        self.adopted += adopted
        now = self._clock()
        if now - self._logged < PROGRESS_INTERVAL:
            return
        self._logged = now
        spent = now - self._began
        left = spent / self._done * max(0, self._total - self._done)
        logger.info(
            "comparing the volume with the agenda: %d of %d names done, %d adopted, %.0f/s, %s left",
            self._done,
            self._total,
            self.adopted,
            self._done / spent.total_seconds(),
            in_words(left),
            extra={"event": "progress"},
        )


@dataclass(frozen=True)
class Reconciler:
    """
    Adds missing names to the agenda, adopts certificates of other programs, and removes names that Appwrite
    has deleted.

    After a start, the reconciler also plans checks of names whose failure the operator may have ended.
    """

    certificates: CertificateStore
    traefik: TraefikConfig
    records: DomainRecords
    agenda: Agenda
    #: Removes a name.
    remove: Callable[[str], bool]
    #: Returns the next check of names without a certificate that a wildcard covers; None: no wildcard covers
    #: them.
    covered_until: Callable[[tuple[str, ...], None], datetime | None]
    clock: Callable[[], datetime]
    random: Random

    def reconcile(self) -> int:
        """
        Add to the agenda every name on the volume that is missing from it.

        Certificates of other programs, certbot for example, are adopted, and are renewed when they are due.
        Names whose directory Appwrite has deleted are removed. Checks that are planned too late become
        earlier.

        Returns:
            The number of added names.

        Raises:
            CertworkerError: The volume cannot be read.
            redis.RedisError: Redis failed.
        """
        self._remove_orphaned()
        self._plan_missing_checks()
        self.agenda.begin_comparison()
        restored, names = 0, list(filter(is_name, self.certificates.names()))
        progress, unpublished = Progress(len(names), self.clock), dict[str, Path]()
        for batch in _batches(names, NAMES_PER_BATCH):
            adopted = self._import_together(batch)
            for name in batch:
                adopted |= self._import(name)
            unpublished |= adopted
            self._publish(unpublished)
            # The other names of an adopted certificate had no files until now.
            restored += self._restore(list(dict.fromkeys([*batch, *adopted])))
            self.agenda.extend_comparison()
            progress.add(len(batch), adopted=len(adopted))
        self._publish(unpublished, now=True)
        for batch in _batches(self.certificates.covered.names(), NAMES_PER_BATCH):
            restored += self._restore_covered(batch)
            self.agenda.extend_comparison()
        self.agenda.finish_comparison()
        if progress.adopted:
            logger.info("adopted names from other programs: %d", progress.adopted, extra={"event": "adopted"})
        if restored:
            logger.info("added names from the volume to the agenda: %d", restored)
        return restored

    def _restore(self, names: Sequence[str]) -> int:
        """
        Add to the agenda those of *names* that are missing from it, and return their number.
        """
        now = self.clock()
        known = known_metadata(self.agenda.missing(names), self.certificates, self.agenda)
        self.agenda.put_many({name: self._check_by_age(metadata, now) for name, metadata in known.items()})
        return len(known)

    def _restore_covered(self, names: Sequence[str]) -> int:
        """
        Plan an immediate check for each of *names* that is missing from the agenda, or has lost its wildcard.
        Return the number of missing names.
        """
        beat()
        missing = self.agenda.missing(names)
        # A name that was requested again after the loss of its wildcard has another state.
        records = (record for record in self.records.read_many(names) if record)
        covered = [record.name for record in records if record.state == "covered"]
        gone = [name for name in covered if self.covered_until((name,), None) is None]
        self.agenda.put_many(dict.fromkeys([*missing, *gone], self.clock()), at_the_latest=True)
        return len(missing)

    def _publish(self, adopted: dict[str, Path], *, now: bool = False) -> None:
        """
        Publish the *adopted* certificates and empty the mapping. Unless *now* is set, do so only if Traefik
        has had enough time since its last reload.

        Until the publication, the proxy still serves the files of the other programs.
        """
        try:
            if now or self.traefik.may_change():
                self.traefik.repair(adopted)
                adopted.clear()
        except CertworkerError as failure:
            # The next call, or the next repair, writes the files.
            logger.warning("%s", failure, extra={"code": failure.code})

    def retry_after_the_start(self, states: RecordedStates, *, settings_changed: bool) -> int:
        """
        Plan an immediate check for every name whose last failure the operator may have ended before the
        start.

        Most failures that need a change by the operator are retried only after a change of the settings. A
        worker that is restarted in a loop must not send a request to the CA at each start.

        Args:
            states: The states of the names.
            settings_changed: Whether the settings differ from those of the last start.

        Returns:
            The number of these names.
        """
        needing_a_change = {kind.code for kind in catalog() if kind.retry is Retry.CONFIG}
        codes = RETRIED_AT_EACH_START | (needing_a_change if settings_changed else set())
        return self.retry_failed(states, codes, self.clock())

    def retry_failed(self, states: RecordedStates, codes: Collection[str], now: datetime) -> int:
        """
        Plan a check at *now* for every name whose last failure has one of *codes*. Return their number.

        A check that is planned for an earlier time stays planned.

        Raises:
            redis.RedisError: Redis failed.
        """
        count = 0
        for batch in _batches(self.agenda.names(), NAMES_AT_A_TIME):
            beat()
            found = zip(batch, states.read_many(batch), strict=True)
            records = self.records.read_many([name for name, state in found if state in RETRIED])
            failed = [record.name for record in records if record and record.code in codes]
            self.agenda.put_many(dict.fromkeys(failed, now), at_the_latest=True)
            count += len(failed)
        if count:
            logger.info("retrying names whose failure needed a change by the operator: %d", count)
        return count

    def _plan_missing_checks(self) -> None:
        """
        Plan an early check for each name whose next check is more than two days ahead.
        """
        count = 0
        while lost := self.agenda.planned_after(self.clock() + LONGEST_PLAN, NAMES_AT_A_TIME):
            beat()
            count += len(lost)
            now = self.clock()
            self.agenda.put_many({name: now + RESTORE_WITHIN * self.random.random() for name in lost})
        if count:
            logger.warning("planned checks for names that had none within two days: %d", count)

    def _import_together(self, names: Sequence[str]) -> dict[str, Path]:
        """
        Adopt those certificates of other programs that have a single name; return their generations by name.
        """
        try:
            found = adopt_together(self.certificates, names)
        except CertworkerError as failure:
            logger.warning("%s", failure, extra={"code": failure.code})
            return {}
        directories = {name: self.certificates.links.generation(name) for name in found}
        return {name: directory for name, directory in directories.items() if directory}

    def _import(self, name: str) -> dict[str, Path]:
        """
        Adopt the files of another program; return all names that they serve, with their generation.
        """
        beat()
        links = self.certificates.links
        try:
            metadata = self.certificates.adopt(name)
            directory = links.generation(name) if metadata else None
            if metadata is None or directory is None:
                return {}
            served = {each: directory for each in metadata.names if links.target_of(each) == directory}
        except CertworkerError as failure:
            # The comparison continues with the other names.
            logger.warning("%s", failure, extra={"domain": name, "code": failure.code})
            return {}
        except Exception:
            # Another program wrote the files; a defective pair does not stop the other names.
            logger.exception("could not adopt the files of this name", extra={"domain": name})
            return {}
        return served

    def _remove_orphaned(self) -> None:
        for name in list(self.certificates.links.orphaned()):
            beat()
            try:
                self.remove(name)
            except AlreadyInProgress:
                continue  # a job is running for the name
            except CertworkerError as failure:
                logger.warning("%s", failure, extra={"domain": name, "code": failure.code})

    def _check_by_age(self, metadata: CertificateMetadata | None, now: datetime) -> datetime:
        # Only the age decides: for the suggestions of the CA, each name would need a request.
        return (
            next_check(metadata.validity, planned_renewal(metadata) or NEVER, now, self.random)
            if metadata
            else now
        )


def _batches(names: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(names)
    while batch := list(islice(iterator, size)):
        yield batch
