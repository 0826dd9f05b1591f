"""
Reports overdue certificates daily: as errors if they expire soon or have expired, otherwise as warnings.

A *due* certificate is normal. The renewal of an *overdue* certificate has failed for some time, or was never
tried: an operator has to act before the certificate expires. certworker does not renew an imported
certificate, but reminds the operator of its expiry (:mod:`certworker.renewal.reminders`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from shlex import quote
from typing import Self

from redis import Redis

from certworker.errors import CertworkerError
from certworker.errors.imports import ImportEnds
from certworker.errors.worker import RenewalOverdue
from certworker.renewal.agenda import Agenda
from certworker.renewal.domain_status import DomainState, DomainStatus, list_states, statuses_of
from certworker.renewal.policy import MIN_SHARE_LEFT, in_words
from certworker.renewal.reminders import ENDED, reminder_at
from certworker.state.domain_records import DomainRecords
from certworker.state.once_per import LOGGED, LOGGED_TTL, OncePer
from certworker.state.recorded_states import RecordedStates
from certworker.storage.certificate_store import CertificateStore
from certworker.supervision import beat
from certworker.validity import Validity

logger = logging.getLogger(__name__)

#: With less than this share of its validity period left, a certificate whose renewal has failed is overdue.
#: Any other certificate is overdue with :data:`~certworker.renewal.policy.MIN_SHARE_LEFT` left, or less.
OVERDUE_SHARE = 1 / 5
#: With less than this share left, the log line is an error; otherwise, it is a warning.
CRITICAL_SHARE = 1 / 10

#: The maximum number of log lines in one pass. Thousands of overdue certificates usually have one cause,
#: which the first lines show.
MAX_LINES = 100


@dataclass(frozen=True)
class Survey:
    """
    A summary of all names.
    """

    #: The number of overdue names.
    overdue: int
    #: The shortest validity period of a certificate in service; None: no certificate is in service.
    shortest_validity: timedelta | None


@dataclass(frozen=True)
class ExpiryAlerts:
    """
    Logs overdue certificates, and sends reminders about imported certificates that expire soon or have
    expired.
    """

    #: Returns the state of each name.
    states: Callable[[], Iterable[DomainState]]
    #: Returns the status of each of the given names. Reading it takes much longer than reading the state.
    statuses: Callable[[Sequence[str]], Iterable[DomainStatus]]
    #: Returns whether the key is passed for the first time within a day.
    first_today: Callable[[str], bool]
    #: Called with a name, a subject, the failure, and the time. Notifies once for each subject, and returns
    #: whether the subject is new.
    remind: Callable[[str, str, CertworkerError, datetime], bool]
    clock: Callable[[], datetime]

    @classmethod
    def of(
        cls,
        connection: Redis,
        agenda: Agenda,
        records: DomainRecords,
        store: CertificateStore,
        remind: Callable[[str, str, CertworkerError, datetime], bool],
        clock: Callable[[], datetime],
    ) -> Self:
        """
        Return the alerts about all names on the *agenda*.
        """
        recorded = RecordedStates(connection)
        return cls(
            lambda: list_states(agenda, recorded, store, clock()),
            lambda names: statuses_of(names, agenda, records, store, clock()),
            OncePer(connection, LOGGED, LOGGED_TTL).first,
            remind,
            clock,
        )

    def log(self) -> Survey:
        """
        Log each overdue name once a day and as soon as its level gets worse. Send and log the reminders that
        are due. After :data:`MAX_LINES` lines, the others follow in the next pass.

        Returns:
            The summary of all names.
        """
        now, count, lines = self.clock(), 0, 0
        ending, shortest = self._ending(now)
        for status in self.statuses(ending):
            if status.is_imported:
                if lines < MAX_LINES and self._remind(status, now):
                    lines += 1
                continue
            level = _level(status, now)
            if level is None:
                continue
            count += 1
            if lines < MAX_LINES and self.first_today(f"overdue:{status.name}:{level}"):
                lines += 1
                _log(status, level, now)
        if count and lines == MAX_LINES:
            logger.error(
                "overdue names in total: %d; to list all names that are due: certworker status --due 1h",
                count,
            )
        return Survey(count, shortest)

    def _ending(self, now: datetime) -> tuple[list[str], timedelta | None]:
        """
        Return the names whose certificates may need a line, and the shortest validity period of all.
        """
        ending, shortest = list[str](), None
        for one in self.states():
            beat()
            if certificate := one.certificate():
                length = certificate.not_after - certificate.not_before
                shortest = min(length, shortest or length)
                if certificate.is_imported or certificate.not_after - now < length * OVERDUE_SHARE:
                    ending.append(one.name)
        return ending, shortest

    def _remind(self, status: DomainStatus, now: datetime) -> bool:
        """
        Send and log the reminder for *status* if it is new; after the certificate has expired, log it daily.
        Return whether it was logged.
        """
        if status.not_before is None or status.not_after is None:
            return False
        validity = Validity(status.not_before, status.not_after, status.serial)
        reminder = reminder_at(validity, status.not_after - now)
        if reminder is None:
            return False
        failure = ImportEnds(name=status.name, ends=_ends(status, now))
        is_new = self.remind(status.name, f"{status.serial} {reminder}", failure, now)
        if reminder == ENDED:
            is_new = self.first_today(f"overdue:{status.name}:{ENDED}")
        if is_new:
            logger.log(
                logging.WARNING if validity.left(now) > CRITICAL_SHARE else logging.ERROR,
                "%s",
                failure,
                extra={"domain": status.name, "event": "ending", "code": failure.code},
            )
        return is_new


def _level(status: DomainStatus, now: datetime) -> str | None:
    left = status.share_left(now)
    # A covered name gets no line, because its wildcard gets one. certworker does not renew a moved name.
    if left is None or left >= OVERDUE_SHARE or status.by or status.state == "moved":
        return None
    if left <= 0:
        return "expired"
    # Without a failure, the CA may have suggested a renewal as late as MIN_SHARE_LEFT, but not later.
    if not status.code and left > MIN_SHARE_LEFT:
        return None
    return "alarming" if left < CRITICAL_SHARE else "overdue"


def _log(status: DomainStatus, level: str, now: datetime) -> None:
    failure = RenewalOverdue(
        name=status.name,
        ends=_ends(status, now),
        history=_history(status),
        remedy=status.remedy
        or f"See its history: certworker explain {quote(status.name)}. Check the workers: certworker doctor",
    )
    logger.log(
        logging.WARNING if level == "overdue" else logging.ERROR,
        "[%s] %s %s",
        failure.code,
        failure.message,
        failure.remedy,
        extra={"domain": status.name, "event": "overdue", "code": failure.code},
    )


def _ends(status: DomainStatus, now: datetime) -> str:
    left = status.not_after - now if status.not_after else timedelta(0)
    span = in_words(abs(left))
    return f"expired {span} ago" if left <= timedelta(0) else f"expires in {span}"


def _history(status: DomainStatus) -> str:
    """
    Return what is known about the attempts to renew the certificate of *status*.
    """
    if status.state == "issuing":
        return "an attempt to renew it is running."
    if status.attempts:
        count = f"{status.attempts} attempts" if status.attempts > 1 else "1 attempt"
        return f"{count} to renew it failed. The last cause: {status.message}"
    return f"its renewal is waiting. {status.message}" if status.code else "no attempt to renew it is known."
