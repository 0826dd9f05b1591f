"""
The status of each name: its certificate on the volume, its record, and its next check.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from certworker.domains import file_name
from certworker.errors import CertworkerError
from certworker.errors.worker import Unexpected
from certworker.ratelimits.budget import Budget
from certworker.renewal.agenda import Agenda
from certworker.renewal.policy import detail_of, is_surely_early, planned_renewal
from certworker.state.domain_records import SERVED, DomainRecord, DomainRecords, State
from certworker.state.recorded_states import RecordedStates
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import IMPORTED, CertificateMetadata
from certworker.storage.metadata_index import BEGIN, END, CertificateSummary, is_imported, summary_in

logger = logging.getLogger(__name__)

#: The source of a certificate that another program put on the volume.
ADOPTED = "adopted"

STATES = (
    *("valid", "imported", "covered", "due", "expired"),
    *("failed", "waiting", "paused", "moved", "issuing", "missing"),
)

#: The details of `failed`: the certificate in service is still valid, or there is no valid one. Of the two,
#: only `no_certificate` is critical.
FAILURES = ("failing", "no_certificate")

#: The details that a user has to fix, the most urgent first.
URGENT = ("no_certificate", "expired", "paused", "failing", "moved")

#: For an imported certificate, alerts consider at most this last part of its validity period.
LONGEST_WATCHED = timedelta(days=300)

#: With these recorded states, only the certificate determines the state of a name.
QUICK = (*SERVED, None)

#: For up to this number of names, the files of each name are read instead of the index of all certificates.
FEW_NAMES = 500

#: The number of names whose records and next checks are read together.
BATCH = 500


@dataclass(frozen=True)
class DomainStatus:
    """
    The status of one name.
    """

    name: str
    #: One of :data:`STATES`; a failure counts even while an older certificate is still valid.
    state: str
    #: The state, or one of :data:`FAILURES` instead of `failed`.
    detail: str
    #: The names of the certificate in service; empty without a certificate.
    names: tuple[str, ...]
    serial: str
    not_before: datetime | None
    not_after: datetime | None
    renewal: datetime | None
    next_check: datetime | None
    attempts: int
    code: str
    message: str
    remedy: str
    issuer: str
    #: The label of the CA that issued the certificate, :data:`ADOPTED` or
    #: :data:`~certworker.storage.metadata.IMPORTED`; empty without a certificate.
    authority: str
    #: The wildcard that covers a name without a certificate of its own; empty for any other name.
    by: str
    #: The tenant in the last request that named one; empty if none did.
    tenant: str = ""
    #: When the pending forced request was made; None without one.
    forced_at: datetime | None = None

    @property
    def is_imported(self) -> bool:
        """
        Return whether an operator imported the certificate of this name.
        """
        return self.authority == IMPORTED and not self.by

    def days_left(self, now: datetime) -> float | None:
        """
        Return the days until the certificate in service expires, negative after the expiry; None without one.
        """
        return (self.not_after - now).total_seconds() / 86_400 if self.not_after else None

    def share_left(self, now: datetime) -> float | None:
        """
        Return the remaining share of the validity period, negative after its end; None without a certificate.
        """
        if self.not_before is None or self.not_after is None:
            return None
        length = self.not_after - self.not_before
        return (self.not_after - now) / length if length else 0.0

    def watched_share_left(self, now: datetime) -> float | None:
        """
        Return the share that the metrics export for alerts: :meth:`share_left`, but for an imported
        certificate the share of its last :data:`LONGEST_WATCHED` if that is more.

        Some certificates are valid for ten years, and their operator imports a successor a few weeks before
        the expiry.
        """
        share = self.share_left(now)
        if share is None or self.state != "imported" or self.not_before is None or self.not_after is None:
            return share
        return max(share, min(1.0, (self.not_after - now) / LONGEST_WATCHED))


class DomainState(NamedTuple):
    """
    The state of one name, without the details of its status.
    """

    name: str
    #: As in :class:`DomainStatus`.
    state: str
    detail: str
    #: The certificate in service, or its line in the index, whose fields are read only if needed.
    source: CertificateMetadata | CertificateSummary | str | None = None
    by: str = ""

    @property
    def not_after(self) -> datetime | None:
        """
        Return when the certificate in service expires; None without a certificate.
        """
        found = self.certificate()
        return found.not_after if found else None

    @property
    def renewal(self) -> datetime | None:
        """
        Return the planned renewal of the certificate in service; None without one, or for an imported one.
        """
        found = self.certificate()
        return planned_renewal(found) if found else None

    def certificate(self) -> CertificateMetadata | CertificateSummary | None:
        """
        Return the certificate in service; None without a certificate.
        """
        return summary_in(self.source) if isinstance(self.source, str) else self.source


def list_states(
    agenda: Agenda, states: RecordedStates, store: CertificateStore, now: datetime
) -> Iterator[DomainState]:
    """
    Yield the state of every name on the agenda, in alphabetical order.

    For many names, the function reads one field of each record, the links of the names, and the index of the
    certificates. It then reads only the files of names that the index lacks.

    Raises:
        VolumeReadOnly, VolumeFault: The volume cannot be read.
        redis.RedisError: Redis failed.
    """
    yield from _states_of(sorted(agenda.names()), states, store, now)


def names_by_urgency(
    agenda: Agenda, states: RecordedStates, store: CertificateStore, now: datetime
) -> list[str]:
    """
    Return every name on the agenda: first those that a user has to fix, by urgency; then the others, by name.

    The records show that most names need no fix: their certificate is valid, or an attempt is running or
    waiting. The function reads the certificates of only the other names. It does not find files that were
    damaged after the record was written.

    Raises:
        VolumeReadOnly, VolumeFault: The volume cannot be read.
        redis.RedisError: Redis failed.
    """
    names = sorted(agenda.names())
    doubtful = states.doubtful(names, now)
    urgent = {
        one.name: URGENT.index(one.detail)
        for one in _states_of(doubtful, states, store, now)
        if one.detail in URGENT
    }
    return [*sorted(urgent, key=lambda name: (urgent[name], name)), *(n for n in names if n not in urgent)]


def _states_of(
    names: Sequence[str], states: RecordedStates, store: CertificateStore, now: datetime
) -> Iterator[DomainState]:
    if len(names) <= FEW_NAMES:
        for name, recorded in zip(names, states.read_many(names), strict=True):
            yield _guarded_state(name, recorded, store, now)
        return
    with ThreadPoolExecutor(1) as reader:
        # Redis needs about as long for the records as this process for the volume, so both run in parallel.
        reading = reader.submit(lambda: list(states.read_many(names)))
        own, covered = store.links.entries(), store.covered.entries()
        indexed = _indexed(store, own)
        recorded_states = reading.result()
    seconds = now.timestamp()
    for name, recorded in zip(names, recorded_states, strict=True):
        file = file_name(name)
        if line := indexed.get(file):
            begin, end = int(line[BEGIN]), int(line[END])
            if recorded in QUICK and seconds < end and is_surely_early(begin, end, seconds):
                # Nearly all names reach this line, so only numbers are compared.
                state = "imported" if is_imported(line) else "valid"
                yield DomainState(name, state, state, line)
            else:
                yield _indexed_state(name, recorded, line, now)
        elif file in own or file in covered:
            yield _guarded_state(name, recorded, store, now)
        else:
            state = _current_state(recorded, None, None, now, "")
            yield DomainState(name, state, detail_of(state, None, now))


def list_status(
    agenda: Agenda, records: DomainRecords, store: CertificateStore, now: datetime
) -> Iterator[DomainStatus]:
    """
    Yield the status of every name on the agenda, in alphabetical order.
    """
    yield from statuses_of(sorted(agenda.names()), agenda, records, store, now)


def statuses_of(
    names: Sequence[str], agenda: Agenda, records: DomainRecords, store: CertificateStore, now: datetime
) -> Iterator[DomainStatus]:
    """
    Yield the status of each of *names*, in their order.
    """
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        moments = agenda.next_checks(batch)
        for name, record in zip(batch, records.read_many(batch), strict=True):
            yield _guarded(name, moments[name], record, store, now)


def status_of(
    name: str, agenda: Agenda, records: DomainRecords, store: CertificateStore, now: datetime
) -> DomainStatus:
    """
    Return the status of *name*.
    """
    return _guarded(name, agenda.next_check(name), records.read(name), store, now)


@dataclass(frozen=True)
class BackfillProgress:
    """
    How many names still need a certificate or a wildcard that covers them, and until when.
    """

    #: The number of names on the agenda, and how many of them have neither a certificate nor a wildcard.
    names: int
    missing: int
    #: When the limits of the CA allow the last order; None: no name is missing, or no limit is known.
    ends: datetime | None


def backfill_progress(agenda: Agenda, store: CertificateStore, budget: Budget) -> BackfillProgress:
    """
    Return how many names have neither a certificate nor a wildcard that covers them, and when the limits of
    the CA allow the last of their orders.
    """
    # The names are read only if needed: reading 50,000 takes a second.
    count = len(agenda)
    missing = count - store.links.count() - store.covered.count()
    if missing <= 0 or not budget.has_limits:
        return BackfillProgress(count, max(missing, 0), None)
    without = sorted(set(agenda.names()) - set(store.names()) - set(store.covered.names()))
    return BackfillProgress(count, len(without), budget.available_at(without))


def _indexed(store: CertificateStore, own: Collection[str]) -> dict[str, str]:
    # Without the index, each file reports its own failure.
    with suppress(CertworkerError):
        return store.links.indexed(own)
    return {}


def _indexed_state(name: str, recorded: State | None, line: str, now: datetime) -> DomainState:
    summary = summary_in(line)
    state = _current_state(recorded, summary, planned_renewal(summary), now, "")
    return DomainState(name, state, detail_of(state, summary.not_after, now), line)


def _guarded_state(name: str, recorded: State | None, store: CertificateStore, now: datetime) -> DomainState:
    """
    Return the state of *name*, which is `failed` if its files cannot be read. The cause is in its status.
    """
    try:
        metadata, wildcard = store.serving(name)
    except Exception as error:
        if not isinstance(error, CertworkerError):
            logger.exception("could not read the state of this name", extra={"domain": name})
        return DomainState(name, "failed", detail_of("failed", None, now))
    if metadata is None:
        state = _current_state(recorded, None, None, now, wildcard)
        return DomainState(name, state, detail_of(state, None, now), by=wildcard)
    state = _current_state(recorded, metadata, planned_renewal(metadata), now, wildcard)
    return DomainState(name, state, detail_of(state, metadata.not_after, now), metadata, wildcard)


def _guarded(
    name: str,
    next_check: datetime | None,
    record: DomainRecord | None,
    store: CertificateStore,
    now: datetime,
) -> DomainStatus:
    """
    Return the status of *name*, which is `failed` if its files cannot be read.
    """
    try:
        metadata, wildcard = store.serving(name)
        return _status(name, next_check, record, metadata, now, wildcard)
    except CertworkerError as error:
        failure = error
    except Exception as error:
        logger.exception("could not read the state of this name", extra={"domain": name})
        failure = Unexpected(fault=repr(error))
    return replace(
        _status(name, next_check, None, None, now),
        state="failed",
        detail=detail_of("failed", None, now),
        code=failure.code,
        message=failure.message,
        remedy=failure.remedy,
        tenant=record.tenant if record else "",
    )


def _status(
    name: str,
    next_check: datetime | None,
    record: DomainRecord | None,
    metadata: CertificateMetadata | None,
    now: datetime,
    wildcard: str = "",
) -> DomainStatus:
    unserved = record is not None and record.state not in SERVED
    renewal = planned_renewal(metadata) if metadata else None
    state = _current_state(record.state if record else None, metadata, renewal, now, wildcard)
    return DomainStatus(
        name=name,
        state=state,
        detail=detail_of(state, metadata.not_after if metadata else None, now),
        names=metadata.names if metadata else (),
        serial=metadata.serial if metadata else "",
        not_before=metadata.not_before if metadata else None,
        not_after=metadata.not_after if metadata else None,
        renewal=renewal,
        next_check=next_check,
        attempts=record.attempts if record else 0,
        code=record.code if record and unserved else "",
        message=record.message if record and unserved else "",
        remedy=record.remedy if record and unserved else "",
        issuer=metadata.issuer if metadata else "",
        authority=(metadata.authority or ADOPTED) if metadata else "",
        by=wildcard,
        tenant=record.tenant if record else "",
        forced_at=record.forced.pending_since if record and record.forced else None,
    )


def _current_state(
    recorded: State | None,
    metadata: CertificateMetadata | CertificateSummary | None,
    renewal: datetime | None,
    now: datetime,
    wildcard: str,
) -> str:
    if recorded is not None and recorded not in SERVED:
        return recorded
    if metadata is None:
        return "missing"
    if now >= metadata.not_after:
        return "expired"
    if wildcard:
        return "covered"
    if renewal is None:
        return "imported"
    return "due" if now >= renewal else "valid"
