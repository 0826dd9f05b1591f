"""
Certificates that should have been renewed long ago: louder the later it is, and again every day.

What is due is normal. What is *overdue* has failed for a good while, or was never tried, and a person has to
know before the visitors of the site do.
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

#: With less of its life left a certificate is overdue; the shares are of its own life, not days.
OVERDUE_SHARE = 1 / 5
CRITICAL_SHARE = 1 / 10

#: Where thousands are overdue the cause is one, and the first lines tell it.
MAX_LINES = 100


@dataclass(frozen=True)
class Survey:
    """
    What was seen of all names.
    """

    overdue: int
    #: The shortest life of a certificate in service; None without one.
    shortest_validity: timedelta | None


@dataclass(frozen=True)
class ExpiryAlerts:
    """
    Tells which certificates are overdue.
    """

    #: How each name stands.
    statuses: Callable[[], Iterable[DomainStatus]]
    #: Whether something is said for the first time today.
    first_today: Callable[[str], bool]
    clock: Callable[[], datetime]

    def log(self) -> Survey:
        """
        Report each name that is overdue once a day, and at once when it gets worse.

        Returns:
            What was seen of all names.
        """
        now, count, lines, shortest = self.clock(), 0, 0, None
        for one in self.statuses():
            level = _level(one, now)
            if one.not_before and one.not_after:
                validity = one.not_after - one.not_before
                shortest = min(validity, shortest or validity)
            if level is None:
                continue
            count += 1
            if lines < MAX_LINES and self.first_today(f"overdue:{one.name}:{level}"):
                lines += 1
                _log(one, level, now)
        if lines == MAX_LINES:
            logger.error("%d names are overdue in all; see them with: certworker status --due 1h", count)
        return Survey(count, shortest)


def _level(one: DomainStatus, now: datetime) -> str | None:
    left = one.share_left(now)
    if left is None or left >= OVERDUE_SHARE:
        return None
    if left <= 0:
        return "expired"
    # Nothing failed: the CA itself may want it renewed as late as this, but not later.
    if not one.code and left > MIN_SHARE_LEFT:
        return None
    return "alarming" if left < CRITICAL_SHARE else "overdue"


def _log(one: DomainStatus, level: str, now: datetime) -> None:
    failure = RenewalOverdue(
        name=one.name,
        ends=_ends(one, now),
        history=_history(one),
        remedy=one.remedy or f"See its history, and whether a worker runs: certworker explain {one.name}",
    )
    logger.log(
        logging.WARNING if level == "overdue" else logging.ERROR,
        "[%s] %s %s",
        failure.code,
        failure.message,
        failure.remedy,
        extra={"domain": one.name, "event": "overdue", "code": failure.code},
    )


def _ends(one: DomainStatus, now: datetime) -> str:
    left = one.not_after - now if one.not_after else timedelta(0)
    span = in_words(abs(left))
    return f"expired {span} ago" if left <= timedelta(0) else f"ends in {span}"


def _history(one: DomainStatus) -> str:
    """
    Return only what is known of the attempts to renew the certificate of *one*.
    """
    if one.state == "issuing":
        return "an attempt to renew it is running."
    if one.attempts:
        count = f"{one.attempts} attempts" if one.attempts > 1 else "1 attempt"
        return f"{count} to renew it failed. The last cause: {one.message}"
    return f"its renewal waits. {one.message}" if one.code else "no attempt to renew it is known."
