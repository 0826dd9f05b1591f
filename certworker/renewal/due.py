"""
Checks the names whose next check is due, and enqueues those that need a job.

A name whose certificate is not due, or that a wildcard covers, gets only its next check here. It nonetheless
needs a job if it has moved, if a forced request for it is pending, or if Traefik does not serve its
certificate. A name with a damaged imported certificate also needs one. A name whose request would be rejected
gets a later check or, without a certificate, none. Any other name gets a request in a priority queue, unless
Appwrite has deleted its directory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

from redis.exceptions import RedisError

from certworker.domains import is_name, registered_domain
from certworker.errors import CertworkerError, printable
from certworker.renewal.agenda import Agenda
from certworker.renewal.policy import RenewalDecision, next_attempt, renewal_time, shortened
from certworker.state.domain_records import DomainRecord, DomainRecords
from certworker.state.priority_queues import LOST_QUEUE_CHECK, Priority, PriorityQueues, Request
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.inventory import is_complete
from certworker.storage.metadata import CertificateMetadata
from certworker.supervision import beat
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)

#: The maximum number of names checked in one pass.
NAMES_PER_CHECK = 1_000

#: The maximum number of requests for renewal information at the same time.
CONCURRENT_QUERIES = 8

#: A certificate that expires within this time has the highest priority; with a short validity period, within
#: this share of the period.
SOON = timedelta(hours=48)
SOON_SHARE = 1 / 5


@dataclass(frozen=True)
class Due:
    """
    The priority and the deadline of a name that needs a job.

    The deadline is when its certificate expires. Without a certificate, or for a moved name without a forced
    request, the deadline is now.
    """

    priority: Priority
    deadline: datetime


@dataclass(frozen=True)
class DueNames:
    """
    Checks the names whose next check is due.
    """

    certificates: CertificateStore
    traefik: TraefikConfig
    records: DomainRecords
    agenda: Agenda
    priority_queues: PriorityQueues
    #: Decides whether a certificate is due at a given time, and when it is checked next.
    decide: Callable[[CertificateMetadata, datetime], RenewalDecision]
    #: Returns the next check of names that a wildcard covers, with or without a certificate of their own;
    #: None: no wildcard covers them, or they need a job.
    covered_until: Callable[[tuple[str, ...], CertificateMetadata | None], datetime | None]
    #: Returns those of the given names that have moved to another server.
    moved: Callable[[Sequence[str]], frozenset[str]]
    #: Raises the reason if a request for these names would be rejected.
    check_request: Callable[[tuple[str, ...]], object]
    clock: Callable[[], datetime]
    random: Random

    def enqueue(self) -> dict[str, int]:
        """
        Check the names whose next check is due, at most :data:`NAMES_PER_CHECK`.

        For a certificate that is not due, this method plans the next check. It reads two small files, and
        sometimes requests renewal information from the CA. A name that needs a job gets a request, which is
        enqueued by its priority.

        Returns:
            `looked`: the number of checked names; `requested`: the number of enqueued requests.
        """
        now = self.clock()
        moments: dict[str, datetime] = {}
        requested: dict[Priority, dict[Request, float]] = {}
        known = known_metadata(self.agenda.due(now, NAMES_PER_CHECK), self.certificates, self.agenda)
        moved = self.moved(
            sorted({*known, *(name for each in known.values() if each for name in each.names)})
        )
        records = dict(zip(known, self.records.read_many(list(known)), strict=True))
        forced = self._pending_forced(records)
        certificates = self._names_of_certificates(known, records, moved) | forced
        # Names that are renewed together get one check, so that they stay together on the agenda.
        first = {names: name for name, names in reversed(certificates.items())}
        with ThreadPoolExecutor(CONCURRENT_QUERIES) as pool:
            metadata_of_first = map(known.get, first.values())
            # The job of a moved name checks whether the name is back.
            check = partial(self._check_guarded, moved=moved, forced=frozenset(forced.values()), now=now)
            checked = pool.map(check, first, first.values(), metadata_of_first)
            results = {}
            for names, result in zip(first, checked, strict=True):
                results[names] = result
                beat()
        for name, names in certificates.items():
            metadata, result = known[name], results[names]
            if result is None:
                self.agenda.remove(name)
                with suppress(CertworkerError):  # the next comparison adds the name again
                    self.certificates.covered.remove(name)
            elif isinstance(result, datetime):
                moments[name] = result
            else:
                moments[name] = now + shortened(
                    LOST_QUEUE_CHECK, metadata.validity if metadata else None, now
                )
                if metadata or not self.certificates.links.is_orphaned(name):
                    request = Request(names, registered_domain(names[0]), names_tenant=False)
                    requested.setdefault(result.priority, {})[request] = result.deadline.timestamp()
        # The agenda is written first, so that this write does not replace the later check of a fast job.
        self.agenda.put_many(moments)
        for priority, requests in requested.items():
            # The earliest deadline is first. The deadlines also determine the order of the tenants.
            self.priority_queues.put(priority, dict(sorted(requests.items(), key=lambda request: request[1])))
        if earliest := self.agenda.earliest():
            self.agenda.wake(max(earliest, now + timedelta(seconds=1)))
        return {"looked": len(known), "requested": sum(map(len, requested.values()))}

    def _check_guarded(
        self,
        names: tuple[str, ...],
        name: str,
        metadata: CertificateMetadata | None,
        *,
        moved: frozenset[str],
        forced: frozenset[tuple[str, ...]],
        now: datetime,
    ) -> Due | datetime | None:
        """
        Return what :meth:`_check` returns. An error postpones only these names.

        Raises:
            redis.RedisError: Redis failed.
        """
        try:
            is_forced = names in forced
            if name in moved and not is_forced:
                return Due("new", now)
            return self._check(names, name, metadata, now, is_forced=is_forced)
        except RedisError:
            raise  # the failure affects all names, and the caller reports it
        except Exception:
            logger.exception("the check of this name failed and will be repeated", extra={"domain": name})
            return now + LOST_QUEUE_CHECK

    def _check(
        self,
        names: tuple[str, ...],
        name: str,
        metadata: CertificateMetadata | None,
        now: datetime,
        *,
        is_forced: bool,
    ) -> Due | datetime | None:
        """
        Return the job that the *names* of a certificate need; the time of the next check if they need none.

        Args:
            name: One of *names*, whose certificate has this *metadata*; None: there is no certificate.
            is_forced: Whether a forced request for *names* is pending.

        Returns:
            None if they have no certificate and any request for them would be rejected.
        """
        if metadata is not None and metadata.is_imported and not is_forced:
            return self._check_imported(name, metadata, now)
        try:
            self.check_request(names)
        except CertworkerError as rejection:
            return self._record_rejection(names, metadata, rejection, now)
        covered_until = None
        with suppress(CertworkerError):  # if the names need a job, the job reports it
            covered_until = None if is_forced else self.covered_until(names, metadata)
        if metadata is None:
            return covered_until or Due("new", now)
        decision = self.decide(metadata, now)
        if is_forced:
            priority = _priority(metadata, decision, now) if decision.due else "new"
            return Due(priority, metadata.not_after)
        with suppress(CertworkerError):
            if (covered_until or not decision.due) and self.traefik.serves(name, metadata):
                return covered_until or decision.next_check
        return Due(_priority(metadata, decision, now), metadata.not_after)

    def _check_imported(self, name: str, metadata: CertificateMetadata, now: datetime) -> Due | datetime:
        """
        Return the next check of *name*, whose certificate was imported.

        If the certificate is damaged or not in service, or if the record has a state other than `issued`,
        *name* needs a job.
        """
        record = self.records.read(name)
        with suppress(CertworkerError):
            directory = self.certificates.links.target_of(name)
            is_recorded = record is None or record.state == "issued"
            if is_recorded and directory and is_complete(directory) and self.traefik.serves(name, metadata):
                return self.decide(metadata, now).next_check
        return Due("renewal", metadata.not_after)

    def _record_rejection(
        self,
        names: tuple[str, ...],
        metadata: CertificateMetadata | None,
        rejection: CertworkerError,
        now: datetime,
    ) -> datetime | None:
        # A job would be rejected before its attempt begins, so this method reports the rejection.
        logger.warning("%s", rejection, extra={"domain": names[0], "code": rejection.code})
        if metadata is None:
            return None
        attempts = self.records.attempts(names[0]) + 1
        again = next_attempt(rejection, attempts, now, self.random, metadata.validity)
        self.records.record_failed(names, rejection, next_check=again, now=now)
        return again

    def _pending_forced(self, records: Mapping[str, DomainRecord | None]) -> dict[str, tuple[str, ...]]:
        """
        Return the names of the pending forced request of each name that has one. A request counts only if the
        record of each of its names contains it.
        """
        found = {
            name: record.forced.names
            for name, record in records.items()
            if record and record.forced and record.forced.is_for(record.forced.names)
        }
        return {name: names for name, names in found.items() if self._forced_together(names)}

    def _forced_together(self, names: tuple[str, ...]) -> bool:
        """
        Return whether the record of each of *names* has the same forced request.
        """
        # A forged record must not join names of different owners.
        requests = [record and record.forced for record in self.records.read_many(names)]
        return all(request and request == requests[0] for request in requests)

    def _names_of_certificates(
        self,
        known: Mapping[str, CertificateMetadata | None],
        records: Mapping[str, DomainRecord | None],
        moved: frozenset[str],
    ) -> dict[str, tuple[str, ...]]:
        """
        Return, for each name, the names for which its certificate is renewed; without a certificate, the
        names of its request.

        A name in *moved* gets only itself, so that it does not prevent the renewal for the others.
        """
        without = [records[name] for name, metadata in known.items() if metadata is None]
        wanted = {record.names for record in without if record and len(record.names) > 1}
        requested_together = {names for names in wanted if self._requested_together(names)}
        together = {
            metadata: self._names_to_renew(metadata, moved) for metadata in set(filter(None, known.values()))
        }
        return {
            name: (name,)
            if name in moved
            else together[metadata]
            if metadata
            else record.names
            if (record := records[name]) and record.names in requested_together
            else (name,)
            for name, metadata in known.items()
        }

    def _names_to_renew(self, metadata: CertificateMetadata, moved: frozenset[str]) -> tuple[str, ...]:
        """
        Return the names for which the certificate with this *metadata* is renewed, without those in *moved*.

        A name that received another certificate, for fewer or other names, has left the set. A renewal for
        all names would replace that certificate, and the renewal of that certificate would replace this one.
        If all names have left the set, the certificate is renewed for all of them.
        """
        names = set(metadata.names)
        served_by = _metadata_of(
            {name: _directory(self.certificates, name) for name in names if is_name(name)}
        )
        # A certificate for all names is the next one, which is not yet in service for every name.
        left = {name for name, other in served_by.items() if other and not names <= set(other.names)} | moved
        return tuple(name for name in metadata.names if name not in left) or metadata.names

    def _requested_together(self, names: tuple[str, ...]) -> bool:
        """
        Return whether *names* were requested together: each record lists them all, and none is in service.

        A record is not a request: a forged record must not join names of different owners.
        """
        records = self.records.read_many(names)
        if not all(record is not None and set(record.names) == set(names) for record in records):
            return False
        try:
            return not any(_metadata_in(_directory(self.certificates, name)) for name in names)
        except ValueError:
            return False


def known_metadata(
    names: Iterable[str], certificates: CertificateStore, agenda: Agenda
) -> dict[str, CertificateMetadata | None]:
    """
    Return the metadata of the certificates of *names*; shared certificates are read once.

    Members of the *agenda* that are not names are removed.
    """
    directories: dict[str, Path | None] = {}
    for name in names:
        try:
            directories[name] = _directory(certificates, name)
        except ValueError:
            # Every program with access to Redis can write to the agenda.
            agenda.remove(name)
            logger.warning("removed %s from the agenda: it is not a valid name", printable(name, 100))
    return _metadata_of(directories)


def _metadata_of(directories: Mapping[str, Path | None]) -> dict[str, CertificateMetadata | None]:
    """
    Return the metadata in the directory of each name. A shared directory is read once.
    """
    read = {directory: _metadata_in(directory) for directory in set(directories.values())}
    return {name: read[directory] for name, directory in directories.items()}


def _directory(certificates: CertificateStore, name: str) -> Path | None:
    # A name whose links cannot be read gets a job, which reports the failure.
    with suppress(CertworkerError):
        return certificates.links.target_of(name)
    return None


def _metadata_in(directory: Path | None) -> CertificateMetadata | None:
    # Metadata that cannot be read does not stop the check of other names.
    with suppress(CertworkerError):
        return CertificateMetadata.read(directory) if directory else None
    return None


def _priority(metadata: CertificateMetadata, decision: RenewalDecision, now: datetime) -> Priority:
    if metadata.not_after - now < min(SOON, metadata.validity.length * SOON_SHARE):
        return "expiring"
    # If the CA suggests a renewal earlier than the age requires, it may be about to revoke the certificate.
    return "advised" if decision.ca_requested and now < renewal_time(metadata.validity) else "renewal"
