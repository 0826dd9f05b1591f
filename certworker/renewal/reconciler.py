"""
Enqueues what is due, and puts back on the agenda what Redis has lost.

Redis may lose any key at any time; the volume has every certificate. :meth:`Reconciler.enqueue_due` moves
what is due to a priority queue. :meth:`Reconciler.reconcile` restores the agenda from the volume.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, repeat
from pathlib import Path
from random import Random

from redis.exceptions import RedisError

from certworker.domains import is_name, registered_domain
from certworker.errors import CertworkerError, Retry, catalogue, printable
from certworker.errors.worker import AlreadyInProgress
from certworker.renewal.agenda import Agenda
from certworker.renewal.policy import RenewalDecision, next_attempt, next_check, renewal_time, shortened
from certworker.renewal.progress import Progress
from certworker.state.domain_records import DomainRecords
from certworker.state.priority_queues import LOST_QUEUE_CHECK, Priority, PriorityQueues, Request
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import CertificateMetadata
from certworker.supervision import beat
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)

#: Names checked in one pass.
NAMES_PER_CHECK = 1_000

#: Requests for renewal information at the same time.
CONCURRENT_QUERIES = 8

#: What expires sooner has the highest priority; of a short validity period, this share.
SOON = timedelta(hours=48)
SOON_SHARE = 1 / 5

#: No check is planned further ahead: the longest pause is a day and a tenth.
LONGEST_PLAN = timedelta(days=2)
#: Names whose check was planned further ahead are checked within this time, not all at once.
BACK_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True)
class Due:
    """
    A name that needs a job: its priority, and the time at which its certificate expires.
    """

    priority: Priority
    deadline: datetime


@dataclass(frozen=True)
class Reconciler:
    """
    Keeps the agenda complete, and enqueues what is due.
    """

    certificates: CertificateStore
    traefik: TraefikConfig
    records: DomainRecords
    agenda: Agenda
    priority_queues: PriorityQueues
    #: Decides whether a certificate is due at a given time, and when it is checked next.
    decide: Callable[[CertificateMetadata, datetime], RenewalDecision]
    #: Removes a name.
    remove: Callable[[str], bool]
    #: Raises the reason if a request for these names would be refused.
    check_request: Callable[[tuple[str, ...]], object]
    clock: Callable[[], datetime]
    random: Random

    def enqueue_due(self) -> dict[str, int]:
        """
        Check every name whose next check has come.

        A certificate that is not due gets its next check here, which costs the reading of two small files.
        Everything else is enqueued by its priority.

        Returns:
            `looked`: the number of checked names; `requested`: the number of requests enqueued.
        """
        now = self.clock()
        moments: dict[str, datetime] = {}
        requested: dict[Priority, dict[Request, float]] = {}
        known = self._metadata_of(self.agenda.due(now, NAMES_PER_CHECK))
        certificates = self._names_of_certificates(known)
        # One check for all names of a certificate: they stay together on the agenda.
        first = {names: name for name, names in reversed(certificates.items())}
        with ThreadPoolExecutor(CONCURRENT_QUERIES) as pool:
            metadata_of_first = map(known.get, first.values())
            checked = pool.map(self._check_guarded, first, first.values(), metadata_of_first, repeat(now))
            results = {}
            for names, result in zip(first, checked, strict=True):
                results[names] = result
                beat()
        for name, names in certificates.items():
            metadata, result = known[name], results[names]
            if result is None:
                self.agenda.remove(name)
            elif isinstance(result, datetime):
                moments[name] = result
            else:
                moments[name] = now + shortened(
                    LOST_QUEUE_CHECK, metadata.validity if metadata else None, now
                )
                if metadata or not self.certificates.links.is_orphaned(name):
                    request = Request(names, registered_domain(names[0]))
                    requested.setdefault(result.priority, {})[request] = result.deadline.timestamp()
        # The agenda first: a job that ends quickly plans a later check, which must not be overwritten.
        self.agenda.put_many(moments)
        for priority, requests in requested.items():
            # The earliest deadline first, for the order of the tenants, too.
            self.priority_queues.put(priority, dict(sorted(requests.items(), key=lambda request: request[1])))
        if earliest := self.agenda.earliest():
            self.agenda.wake(max(earliest, now + timedelta(seconds=1)))
        return {"looked": len(known), "requested": sum(map(len, requested.values()))}

    def reconcile(self) -> int:
        """
        Put every certificate of the volume that is missing from the agenda back on it.

        Certificates of other programs, certbot for example, are adopted and renewed when they are due. Names
        whose directory Appwrite deleted are removed.

        Returns:
            The number of names that were missing.
        """
        self._remove_orphaned()
        self._plan_missing_checks()
        self.agenda.begin_comparison()
        restored, names = 0, list(filter(is_name, self.certificates.names()))
        progress = Progress(len(names), self.clock)
        for batch in _batches(names, 500):
            adopted: dict[str, Path] = {}
            for name in batch:
                adopted |= self._import(name)
            self._publish(adopted)
            # The other names of what was adopted had no files until now.
            restored += self._restore(list(dict.fromkeys([*batch, *adopted])))
            self.agenda.extend_comparison()
            progress.add(len(batch), adopted=len(adopted))
        self.agenda.finish_comparison()
        if progress.adopted:
            logger.info("names adopted from other programs: %d", progress.adopted, extra={"event": "adopted"})
        if restored:
            logger.info("%d names were missing from the agenda and are back on it", restored)
        return restored

    def _restore(self, names: Sequence[str]) -> int:
        """
        Put those of *names* that are missing from the agenda back on it, and return their number.
        """
        now = self.clock()
        known = self._metadata_of(self.agenda.missing(names))
        self.agenda.put_many({name: self._check_by_age(metadata, now) for name, metadata in known.items()})
        return len(known)

    def _publish(self, adopted: Mapping[str, Path]) -> None:
        try:
            self.traefik.repair(adopted)
        except CertworkerError as failure:
            # The next repair tries it again.
            logger.warning("%s", failure, extra={"code": failure.code})

    def retry_after_a_change(self) -> int:
        """
        Plan a check now for every name whose last failure was caused by the settings, which have changed.

        Returns:
            The number of these names.
        """
        codes = {kind.code for kind in catalogue() if kind.retry is Retry.CONFIG}
        now, count = self.clock(), 0
        for batch in _batches(self.agenda.names(), NAMES_PER_CHECK):
            records = filter(None, self.records.read_many(batch))
            failed = [each.name for each in records if each.state == "failed" and each.code in codes]
            self.agenda.put_many(dict.fromkeys(failed, now), at_the_latest=True)
            count += len(failed)
        if count:
            logger.info(
                "the settings have changed: %d names that failed because of them are tried again now", count
            )
        return count

    def _plan_missing_checks(self) -> None:
        """
        Plan a check soon for each name whose next check is too far ahead, or never.
        """
        count = 0
        while lost := self.agenda.planned_after(self.clock() + LONGEST_PLAN, NAMES_PER_CHECK):
            beat()
            count += len(lost)
            now = self.clock()
            self.agenda.put_many({name: now + BACK_WITHIN * self.random.random() for name in lost})
        if count:
            logger.warning("%d names had no check planned within two days and get one now", count)

    def _import(self, name: str) -> dict[str, Path]:
        """
        Adopt the files of another program, and return all names that they serve, with their generation.
        """
        beat()
        links = self.certificates.links
        try:
            metadata, directory = self.certificates.adopt(name), links.generation(name)
            if metadata is None or directory is None:
                return {}
            served = {each: directory for each in metadata.names if links.target_of(each) == directory}
        except CertworkerError as failure:
            # The other names continue; the job of this name reports the failure again.
            logger.warning("%s", failure, extra={"domain": name, "code": failure.code})
            return {}
        except Exception:
            # Another program wrote the files; a defective pair does not stop the other names.
            logger.exception("the files of this name could not be adopted", extra={"domain": name})
            return {}
        logger.info(
            "adopted: issued by %s, valid until %s",
            metadata.issuer,
            f"{metadata.not_after:%Y-%m-%d %H:%M} UTC",
            extra={"domain": name, "event": "adopted"},
        )
        return served

    def _remove_orphaned(self) -> None:
        for name in list(self.certificates.links.orphaned()):
            beat()
            try:
                self.remove(name)
            except AlreadyInProgress:
                continue  # it is being issued again
            except CertworkerError as failure:
                logger.warning("%s", failure, extra={"domain": name, "code": failure.code})

    def _check_guarded(
        self, names: tuple[str, ...], name: str, metadata: CertificateMetadata | None, now: datetime
    ) -> Due | datetime | None:
        """
        Return what :meth:`_check` returns. An error postpones these names, and no others.

        Raises:
            redis.RedisError: Redis failed.
        """
        try:
            return self._check(names, name, metadata, now)
        except RedisError:
            raise  # it concerns all names, and the maintenance loop reports the reason
        except Exception:
            logger.exception("the check of this name failed and will be repeated", extra={"domain": name})
            return now + LOST_QUEUE_CHECK

    def _check(
        self, names: tuple[str, ...], name: str, metadata: CertificateMetadata | None, now: datetime
    ) -> Due | datetime | None:
        """
        Return what the *names* of a certificate need; the moment of the next check if they need nothing.

        Args:
            name: The one of them with these *metadata*.

        Returns:
            None if they have no certificate and any request for them is refused.
        """
        try:
            self.check_request(names)
        except CertworkerError as refusal:
            return self._refused(names, metadata, refusal, now)
        if metadata is None:
            return Due("new", now)
        decision = self.decide(metadata, now)
        with suppress(CertworkerError):
            if not decision.due and self.traefik.serves(name, metadata):
                return decision.next_check
        return Due(_priority(metadata, decision, now), metadata.not_after)

    def _refused(
        self,
        names: tuple[str, ...],
        metadata: CertificateMetadata | None,
        refusal: CertworkerError,
        now: datetime,
    ) -> datetime | None:
        # The job would be refused before its attempt begins, so the reason is recorded here.
        logger.warning("%s", refusal, extra={"domain": names[0], "code": refusal.code})
        if metadata is None:
            return None
        attempts = self.records.attempts(names[0]) + 1
        again = next_attempt(refusal, attempts, now, self.random, metadata.validity)
        self.records.record_failed(names, refusal, next_check=again, now=now)
        return again

    def _check_by_age(self, metadata: CertificateMetadata | None, now: datetime) -> datetime:
        # By age only: a request to the CA for each name of the volume would be too many at once.
        return (
            next_check(metadata.validity, renewal_time(metadata.validity), now, self.random)
            if metadata
            else now
        )

    def _metadata_of(self, names: Iterable[str]) -> dict[str, CertificateMetadata | None]:
        """
        Return the metadata of the certificates of *names*; shared certificates are read once.
        """
        directories: dict[str, Path | None] = {}
        for name in names:
            try:
                directories[name] = self._directory(name)
            except ValueError:
                # A writer to Redis can put anything on the agenda.
                self.agenda.remove(name)
                logger.warning("removed %s from the agenda: it is not a domain name", printable(name, 100))
        read = {directory: _metadata_in(directory) for directory in set(directories.values())}
        return {name: read[directory] for name, directory in directories.items()}

    def _directory(self, name: str) -> Path | None:
        # A name whose links cannot be read gets a job, which reports the failure.
        with suppress(CertworkerError):
            return self.certificates.links.target_of(name)
        return None

    def _names_of_certificates(
        self, known: Mapping[str, CertificateMetadata | None]
    ) -> dict[str, tuple[str, ...]]:
        """
        Return all names of the certificate of each name; where there is none, the names of its request.
        """
        without = [name for name, metadata in known.items() if metadata is None]
        records = dict(zip(without, self.records.read_many(without), strict=True))
        wanted = {record.names for record in records.values() if record and len(record.names) > 1}
        requested_together = {names for names in wanted if self._requested_together(names)}
        together = {
            metadata: self._names_to_renew(metadata) for metadata in set(filter(None, known.values()))
        }
        return {
            name: together[metadata]
            if metadata
            else record.names
            if (record := records[name]) and record.names in requested_together
            else (name,)
            for name, metadata in known.items()
        }

    def _names_to_renew(self, metadata: CertificateMetadata) -> tuple[str, ...]:
        """
        Return the names for which the certificate with these *metadata* is renewed.

        A name that got another certificate for fewer or other names has left the set. A renewal with the
        others would undo that request, and the other certificate would undo the renewal.
        """
        names = set(metadata.names)
        served_by = {name: _metadata_in(self._directory(name)) for name in names if is_name(name)}
        # A certificate for all of them is their next one, which is not yet in service for each.
        left = {name for name, other in served_by.items() if other and not names <= set(other.names)}
        return tuple(name for name in metadata.names if name not in left) or metadata.names

    def _requested_together(self, names: tuple[str, ...]) -> bool:
        """
        Return whether *names* were requested together: all their records say so, and none is in service.

        A record is not a request. Its writer must not be able to join names of different people.
        """
        records = self.records.read_many(names)
        if not all(record is not None and set(record.names) == set(names) for record in records):
            return False
        try:
            return not any(_metadata_in(self._directory(name)) for name in names)
        except ValueError:
            return False


def _metadata_in(directory: Path | None) -> CertificateMetadata | None:
    # Metadata that cannot be read does not stop the check of the others.
    with suppress(CertworkerError):
        return CertificateMetadata.read(directory) if directory else None
    return None


def _priority(metadata: CertificateMetadata, decision: RenewalDecision, now: datetime) -> Priority:
    if metadata.not_after - now < min(SOON, metadata.validity.length * SOON_SHARE):
        return "expiring"
    # What the CA wants renewed before its age would have it so, it is about to revoke.
    return "advised" if decision.ca_requested and now < renewal_time(metadata.validity) else "renewal"


def _batches(names: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(names)
    while batch := list(islice(iterator, size)):
        yield batch
