"""
How each name stands: what the volume serves, what the ledger remembers, what the agenda plans.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from certworker.errors import CertworkerError
from certworker.errors.worker import Unexpected
from certworker.ratelimits.budget import Budget
from certworker.renewal.agenda import Agenda
from certworker.renewal.policy import detail_of, renewal_time
from certworker.state.domain_records import DomainRecord, DomainRecords
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import CertificateMetadata

logger = logging.getLogger(__name__)

#: Where a certificate comes from that others put on the volume.
ADOPTED = "adopted"

STATES = ("valid", "due", "expired", "failed", "waiting", "paused", "issuing", "missing")

#: `failed` in detail: the certificate in service is valid, or none is. Only the second is an alarm.
FAILURES = ("failing", "no_certificate")

#: Records are read from Redis in portions of this size.
PORTION = 100


@dataclass(frozen=True)
class DomainStatus:
    """
    One name on one line.
    """

    name: str
    #: One of :data:`STATES`; a failure is told even while an older certificate is still valid.
    state: str
    #: The same, except that `failed` is one of :data:`FAILURES`.
    detail: str
    #: Of the certificate in service; empty without one.
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
    #: The label of the CA that we got it from, or :data:`ADOPTED`; empty without one.
    authority: str

    def days_left(self, now: datetime) -> float | None:
        """
        How many days the certificate in service is still valid; None without one.
        """
        return (self.not_after - now).total_seconds() / 86_400 if self.not_after else None

    def share_left(self, now: datetime) -> float | None:
        """
        Which share of its life the certificate in service has left; None without one.
        """
        if self.not_before is None or self.not_after is None:
            return None
        length = self.not_after - self.not_before
        return (self.not_after - now) / length if length else 0.0


def list_status(
    agenda: Agenda, records: DomainRecords, volume: CertificateStore, now: datetime
) -> Iterator[DomainStatus]:
    """
    Every name on the agenda in alphabetical order.
    """
    names = sorted(agenda.names())
    for start in range(0, len(names), PORTION):
        some = names[start : start + PORTION]
        moments = agenda.next_checks(some)
        for name, record in zip(some, records.read_many(some), strict=True):
            yield _guarded(name, moments[name], record, volume, now)


def status_of(
    name: str, agenda: Agenda, records: DomainRecords, volume: CertificateStore, now: datetime
) -> DomainStatus:
    """
    How *name* stands.
    """
    return _guarded(name, agenda.next_check(name), records.read(name), volume, now)


@dataclass(frozen=True)
class BackfillProgress:
    """
    How far it is until every name has a certificate.
    """

    names: int
    #: Those without one.
    missing: int
    #: When the CA allows the last of them to be ordered; None: none is missing, or it has no known limit.
    ends: datetime | None


def backfill_progress(agenda: Agenda, volume: CertificateStore, budget: Budget) -> BackfillProgress:
    """
    How many names have no certificate yet, and until when the CA's limits make some of them wait.
    """
    # Which they are is not asked for nothing: reading the names of 50,000 takes a second.
    count = len(agenda)
    missing = count - volume.links.count()
    if missing <= 0 or not budget.has_limits:
        return BackfillProgress(count, max(missing, 0), None)
    without = sorted(set(agenda.names()) - set(volume.names()))
    return BackfillProgress(count, len(without), budget.available_at(without))


def _guarded(
    name: str,
    next_check: datetime | None,
    record: DomainRecord | None,
    volume: CertificateStore,
    now: datetime,
) -> DomainStatus:
    """
    Return how *name* stands. Files that cannot be read are the failure of that name, and of no other.
    """
    try:
        return _status(name, next_check, record, volume.metadata(name), now)
    except CertworkerError as error:
        failure = error
    except Exception as error:
        logger.exception("the state of this name cannot be read", extra={"domain": name})
        failure = Unexpected(fault=repr(error))
    return replace(
        _status(name, next_check, None, None, now),
        state="failed",
        detail=detail_of("failed", None, now),
        code=failure.code,
        message=failure.message,
        remedy=failure.remedy,
    )


def _status(
    name: str,
    next_check: datetime | None,
    record: DomainRecord | None,
    metadata: CertificateMetadata | None,
    now: datetime,
) -> DomainStatus:
    troubled = record is not None and record.state != "issued"
    state = record.state if record and troubled else _state(metadata, now)
    return DomainStatus(
        name=name,
        state=state,
        detail=detail_of(state, metadata.not_after if metadata else None, now),
        names=metadata.names if metadata else (),
        serial=metadata.serial if metadata else "",
        not_before=metadata.not_before if metadata else None,
        not_after=metadata.not_after if metadata else None,
        renewal=renewal_time(metadata.validity) if metadata else None,
        next_check=next_check,
        attempts=record.attempts if record else 0,
        code=record.code if record and troubled else "",
        message=record.message if record and troubled else "",
        remedy=record.remedy if record and troubled else "",
        issuer=metadata.issuer if metadata else "",
        authority=(metadata.authority or ADOPTED) if metadata else "",
    )


def _state(metadata: CertificateMetadata | None, now: datetime) -> str:
    if metadata is None:
        return "missing"
    if now >= metadata.not_after:
        return "expired"
    return "due" if now >= renewal_time(metadata.validity) else "valid"
