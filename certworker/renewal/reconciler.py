"""
The rounds of the night watch: what is due, and what Redis has forgotten.

Redis may lose any key at any moment; the volume knows every certificate. A look lets what is due wait in its
lane for a slot, a reconciliation gives back to the agenda what only the volume remembers.
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
from certworker.state.priority_queues import UNTIL_A_LOST_LANE_IS_MISSED, Priority, PriorityQueues, Request
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import CertificateMetadata
from certworker.supervision import beat
from certworker.traefik.config import TraefikConfig

logger = logging.getLogger(__name__)

#: One look handles so many names, then lets the queue breathe.
NAMES_PER_CHECK = 1_000

#: A look asks the CA for its advice on so many certificates at a time.
CONCURRENT_QUERIES = 8

#: What expires sooner goes before everything else; of a short life a share.
SOON = timedelta(hours=48)
SOON_SHARE = 1 / 5

#: Nothing is planned further ahead: the longest pause is a day and a tenth.
LONGEST_PLAN = timedelta(days=2)
#: What was planned further ahead is checked within this time, not all at once.
BACK_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True)
class Due:
    """
    A name that needs a job: in which lane, and by when its certificate has expired.
    """

    priority: Priority
    deadline: datetime


@dataclass(frozen=True)
class Reconciler:
    """
    Keeps the agenda true and brings what is due to the lanes.
    """

    certificates: CertificateStore
    traefik: TraefikConfig
    records: DomainRecords
    agenda: Agenda
    priority_queues: PriorityQueues
    #: When a certificate is renewed, and looked at next.
    decide: Callable[[CertificateMetadata, datetime], RenewalDecision]
    #: Takes a name out of service.
    remove: Callable[[str], bool]
    #: Raises why a request for some names would be refused.
    check_request: Callable[[tuple[str, ...]], object]
    clock: Callable[[], datetime]
    random: Random

    def enqueue_due(self) -> dict[str, int]:
        """
        Look at every name whose moment has come.

        A certificate that is not due gets its next moment here, at the price of two small files; anything
        else waits in a lane for a slot.

        Returns:
            How many names were `looked` at, and for how many certificates was `requested` something.
        """
        now = self.clock()
        moments: dict[str, datetime] = {}
        requested: dict[Priority, dict[Request, float]] = {}
        known = self._known(self.agenda.due(now, NAMES_PER_CHECK))
        certificates = self._certificates(known)
        # One question for all names of a certificate: they stay together on the agenda.
        first = {together: name for name, together in reversed(certificates.items())}
        with ThreadPoolExecutor(CONCURRENT_QUERIES) as questions:
            metadata_of_first = map(known.get, first.values())
            asked = questions.map(self._guarded, first, first.values(), metadata_of_first, repeat(now))
            findings = {}
            for together, finding in zip(first, asked, strict=True):
                findings[together] = finding
                beat()
        for name, together in certificates.items():
            metadata, found = known[name], findings[together]
            if found is None:
                self.agenda.remove(name)
            elif isinstance(found, datetime):
                moments[name] = found
            else:
                moments[name] = now + shortened(
                    UNTIL_A_LOST_LANE_IS_MISSED, metadata.validity if metadata else None, now
                )
                if metadata or not self.certificates.links.is_orphaned(name):
                    request = Request(together, registered_domain(together[0]))
                    requested.setdefault(found.priority, {})[request] = found.deadline.timestamp()
        # The moments first: a job that ends quickly writes a better one, which must not be overwritten.
        self.agenda.put_many(moments)
        for lane, requests in requested.items():
            # Tenants get their turns in this order, too.
            self.priority_queues.put(lane, dict(sorted(requests.items(), key=lambda request: request[1])))
        if earliest := self.agenda.earliest():
            self.agenda.wake(max(earliest, now + timedelta(seconds=1)))
        return {"looked": len(known), "requested": sum(map(len, requested.values()))}

    def reconcile(self) -> int:
        """
        Put every certificate of the volume that the agenda does not know back onto it.

        Those that others made, certbot for example, are adopted: they are renewed when they are due. Names
        whose directory the core deleted go.

        Returns:
            How many names were missing.
        """
        self._remove_orphaned()
        self._bring_back()
        self.agenda.begin_comparison()
        restored, names = 0, list(filter(is_name, self.certificates.names()))
        progress = Progress(len(names), self.clock)
        for some in _batches(names, 500):
            adopted: dict[str, Path] = {}
            for name in some:
                adopted |= self._import(name)
            self._publish(adopted)
            # The other names of what was adopted had no files until now.
            restored += self._restore(list(dict.fromkeys([*some, *adopted])))
            self.agenda.extend_comparison()
            progress.add(len(some), adopted=len(adopted))
        self.agenda.finish_comparison()
        if progress.adopted:
            logger.info("names adopted from other programs: %d", progress.adopted, extra={"event": "adopted"})
        if restored:
            logger.info("%d certificates were missing on the agenda and are back on it", restored)
        return restored

    def _restore(self, names: Sequence[str]) -> int:
        """
        Put those of *names* that the agenda does not know back onto it, and return how many these are.
        """
        now = self.clock()
        known = self._known(self.agenda.missing(names))
        self.agenda.put_many({name: self._check_by_age(metadata, now) for name, metadata in known.items()})
        return len(known)

    def _publish(self, adopted: Mapping[str, Path]) -> None:
        try:
            self.traefik.repair(adopted)
        except CertworkerError as failure:
            # The next repair of what is in service tries it again.
            logger.warning("%s", failure, extra={"code": failure.code})

    def retry_after_a_change(self) -> int:
        """
        Plan a check now for every name whose last failure only a person could end: the settings have changed.

        Returns:
            How many names that were.
        """
        codes = {kind.code for kind in catalogue() if kind.retry is Retry.CONFIG}
        now, count = self.clock(), 0
        for some in _batches(self.agenda.names(), NAMES_PER_CHECK):
            records = filter(None, self.records.read_many(some))
            failed = [each.name for each in records if each.state == "failed" and each.code in codes]
            self.agenda.put_many(dict.fromkeys(failed, now), at_the_latest=True)
            count += len(failed)
        if count:
            logger.info("the settings have changed: %d names that need them are tried again now", count)
        return count

    def _bring_back(self) -> None:
        """
        Plan a check soon for each name whose moment is wrong: an older version planned none after a failure.
        """
        count = 0
        while lost := self.agenda.planned_after(self.clock() + LONGEST_PLAN, NAMES_PER_CHECK):
            beat()
            count += len(lost)
            now = self.clock()
            self.agenda.put_many({name: now + BACK_WITHIN * self.random.random() for name in lost})
        if count:
            logger.warning("%d names had no next check and get one now", count)

    def _import(self, name: str) -> dict[str, Path]:
        """
        Make the files of another program ours, and return all names that they serve, with their generation.
        """
        beat()
        links = self.certificates.links
        try:
            metadata, directory = self.certificates.adopt(name), links.generation(name)
            if metadata is None or directory is None:
                return {}
            served = {each: directory for each in metadata.names if links.target_of(each) == directory}
        except CertworkerError as failure:
            # The others are no worse for it, and its own job reports it again.
            logger.warning("%s", failure, extra={"domain": name, "code": failure.code})
            return {}
        except Exception:
            # Anybody may have written the files; one odd pair does not stop the round for the others.
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

    def _guarded(
        self, names: tuple[str, ...], name: str, metadata: CertificateMetadata | None, now: datetime
    ) -> Due | datetime | None:
        """
        Return what :meth:`_finding` returns. An error postpones these names, and no others.

        Raises:
            redis.RedisError: Redis failed.
        """
        try:
            return self._finding(names, name, metadata, now)
        except RedisError:
            raise  # it concerns all names, and the maintenance loop reports the reason
        except Exception:
            logger.exception("the check of this name failed and is made again later", extra={"domain": name})
            return now + UNTIL_A_LOST_LANE_IS_MISSED

    def _finding(
        self, names: tuple[str, ...], name: str, metadata: CertificateMetadata | None, now: datetime
    ) -> Due | datetime | None:
        """
        Return what the *names* of a certificate need; the moment of the next check if they need nothing.

        Args:
            name: The one of them with these *metadata*.

        Returns:
            None if nothing can ever come of them: they have no certificate, and any request is refused.
        """
        try:
            self.check_request(names)
        except CertworkerError as refusal:
            return self._refused(names, metadata, refusal, now)
        if metadata is None:
            return Due("new", now)
        plan = self.decide(metadata, now)
        with suppress(CertworkerError):
            if not plan.due and self.traefik.serves(name, metadata):
                return plan.next_check
        return Due(_priority(metadata, plan, now), metadata.not_after)

    def _refused(
        self,
        names: tuple[str, ...],
        metadata: CertificateMetadata | None,
        refusal: CertworkerError,
        now: datetime,
    ) -> datetime | None:
        # A job would end before its attempt begins, so the reason is recorded here.
        logger.warning("%s", refusal, extra={"domain": names[0], "code": refusal.code})
        if metadata is None:
            return None
        attempts = self.records.attempts(names[0]) + 1
        again = next_attempt(refusal, attempts, now, self.random, metadata.validity)
        self.records.record_failed(names, refusal, next_check=again, now=now)
        return again

    def _check_by_age(self, metadata: CertificateMetadata | None, now: datetime) -> datetime:
        # Without the CA's advice: nobody asks it for all names of a volume at once.
        return (
            next_check(metadata.validity, renewal_time(metadata.validity), now, self.random)
            if metadata
            else now
        )

    def _known(self, names: Iterable[str]) -> dict[str, CertificateMetadata | None]:
        """
        What is known of the certificates of *names*; what they share is read once.
        """
        directories: dict[str, Path | None] = {}
        for name in names:
            try:
                directories[name] = self._directory(name)
            except ValueError:
                # Whoever may write to Redis may plan a look at anything.
                self.agenda.remove(name)
                logger.warning("removed %s from the agenda: it is no name of a domain", printable(name, 100))
        read = {directory: _metadata_in(directory) for directory in set(directories.values())}
        return {name: read[directory] for name, directory in directories.items()}

    def _directory(self, name: str) -> Path | None:
        # What cannot be read gets a job, which tells what to do about it.
        with suppress(CertworkerError):
            return self.certificates.links.target_of(name)
        return None

    def _certificates(self, known: Mapping[str, CertificateMetadata | None]) -> dict[str, tuple[str, ...]]:
        """
        Return all names of the certificate of each name; where there is none, the names of its request.
        """
        without = [name for name, metadata in known.items() if metadata is None]
        records = dict(zip(without, self.records.read_many(without), strict=True))
        wanted = {record.names for record in records.values() if record and len(record.names) > 1}
        agreed = {names for names in wanted if self._agreed(names)}
        together = {
            metadata: self._still_together(metadata) for metadata in set(filter(None, known.values()))
        }
        return {
            name: together[metadata]
            if metadata
            else record.names
            if (record := records[name]) and record.names in agreed
            else (name,)
            for name, metadata in known.items()
        }

    def _still_together(self, metadata: CertificateMetadata) -> tuple[str, ...]:
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

    def _agreed(self, names: tuple[str, ...]) -> bool:
        """
        Return whether *names* were requested together: all their records say so, and none is in service.

        A record is not a request. Whoever can write one must not join names of different people.
        """
        records = self.records.read_many(names)
        if not all(record is not None and set(record.names) == set(names) for record in records):
            return False
        try:
            return not any(_metadata_in(self._directory(name)) for name in names)
        except ValueError:
            return False


def _metadata_in(directory: Path | None) -> CertificateMetadata | None:
    # Nor does what cannot be understood stop the look at the others.
    with suppress(CertworkerError):
        return CertificateMetadata.read(directory) if directory else None
    return None


def _priority(metadata: CertificateMetadata, plan: RenewalDecision, now: datetime) -> Priority:
    if metadata.not_after - now < min(SOON, metadata.validity.length * SOON_SHARE):
        return "expiring"
    # What the CA wants renewed before its age would have it so, it is about to revoke.
    return "advised" if plan.ca_requested and now < renewal_time(metadata.validity) else "renewal"


def _batches(names: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(names)
    while some := list(islice(iterator, size)):
        yield some
