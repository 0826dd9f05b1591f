"""
Reports overdue certificates: once a day, and as an error if they expire soon.

A certificate that is *due* is normal. The renewal of an *overdue* certificate has failed for some time, or
was never tried. An operator has to act before it expires.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from certworker.errors.worker import RenewalOverdue
from certworker.renewal.domain_status import DomainStatus
from certworker.renewal.policy import MIN_SHARE_LEFT, in_words

logger = logging.getLogger(__name__)

#: With less than this share of its validity period left, a certificate is overdue.
OVERDUE_SHARE = 1 / 5
#: With less than this share left, the report is an error.
CRITICAL_SHARE = 1 / 10

#: The largest number of lines. Thousands of overdue certificates share a cause, which the first lines show.
MAX_LINES = 100


@dataclass(frozen=True)
class Survey:
    """
    A summary of all names.
    """

    overdue: int
    #: The shortest validity period of a certificate in service; None: no certificate is in service.
    shortest_validity: timedelta | None


@dataclass(frozen=True)
class ExpiryAlerts:
    """
    Logs which certificates are overdue.
    """

    #: Returns the status of each name.
    statuses: Callable[[], Iterable[DomainStatus]]
    #: Returns whether the key is passed for the first time today.
    first_today: Callable[[str], bool]
    clock: Callable[[], datetime]

    def log(self) -> Survey:
        """
        Log each overdue name once a day, and immediately when its level gets worse.

        Returns:
            The summary of all names.
        """
        now, count, lines, shortest = self.clock(), 0, 0, None
        for status in self.statuses():
            level = _level(status, now)
            if status.not_before and status.not_after:
                validity = status.not_after - status.not_before
                shortest = min(validity, shortest or validity)
            if level is None:
                continue
            count += 1
            if lines < MAX_LINES and self.first_today(f"overdue:{status.name}:{level}"):
                lines += 1
                _log(status, level, now)
        if lines == MAX_LINES:
            logger.error("%d names are overdue in total; list them with: certworker status --due 1h", count)
        return Survey(count, shortest)


def _level(status: DomainStatus, now: datetime) -> str | None:
    left = status.share_left(now)
    # A covered name gets no line, because its wildcard gets one. A moved name is not renewed.
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
        or f"See its history, and whether a worker runs: certworker explain {status.name}",
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
    return f"expired {span} ago" if left <= timedelta(0) else f"ends in {span}"


def _history(status: DomainStatus) -> str:
    """
    Return a text about the known attempts to renew the certificate of *status*.
    """
    if status.state == "issuing":
        return "an attempt to renew it is running."
    if status.attempts:
        count = f"{status.attempts} attempts" if status.attempts > 1 else "1 attempt"
        return f"{count} to renew it failed. The last cause: {status.message}"
    return f"its renewal waits. {status.message}" if status.code else "no attempt to renew it is known."
