"""
Spans of time of a certificate: its validity, and the window in which its CA suggests to renew it.

Their clock is :func:`now_in_utc`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: A fixed wait is never longer than this share of the validity period: 15 seconds of 15 minutes.
SHARE_OF_A_SHORT_WAIT = 1 / 60


@dataclass(frozen=True)
class Validity:
    """
    The validity period of a certificate, and its serial number.
    """

    not_before: datetime
    not_after: datetime
    #: It seeds the random part of the renewal time, so that each worker computes the same time after each
    #: restart without storing it.
    serial: str

    @property
    def length(self) -> timedelta:
        """
        The length of the validity period.
        """
        return self.not_after - self.not_before

    def left(self, now: datetime) -> float:
        """
        Return the share of the validity period that is left at *now*: 1 is new, 0 or less has expired.
        """
        return (self.not_after - now) / self.length


@dataclass(frozen=True)
class Window:
    """
    The window in which a CA suggests renewing a certificate (RFC 9773, section 4.2).
    """

    start: datetime
    end: datetime
    #: A page of the CA with the reason; empty if there is none.
    explanation_url: str = ""

    def contains(self, moment: datetime) -> bool:
        """
        Return whether *moment* is inside the window.
        """
        return self.start <= moment < self.end


def wait_within(validity: Validity | None, wait: timedelta) -> timedelta:
    """
    Return the fixed *wait*, or a shorter one in proportion to a short *validity*.

    Args:
        validity: The validity of the certificate in service; None: there is none.
    """
    return min(wait, validity.length * SHARE_OF_A_SHORT_WAIT) if validity else wait


def now_in_utc() -> datetime:
    """
    Return the time, aware and in UTC: the clock of all components outside of tests.
    """
    return datetime.now(UTC)
