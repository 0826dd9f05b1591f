"""
The validity period of a certificate, and the window in which its CA suggests renewing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: A wait is at most this share of the validity period: 15 seconds if the period is 15 minutes.
SHARE_OF_A_SHORT_WAIT = 1 / 60


@dataclass(frozen=True)
class Validity:
    """
    The validity period and the serial number of a certificate.
    """

    not_before: datetime
    not_after: datetime
    #: The serial number seeds the random part of the renewal time. Each worker therefore computes the same
    #: time after each restart, without storing it.
    serial: str

    @property
    def length(self) -> timedelta:
        """
        Return the length of the validity period.
        """
        return self.not_after - self.not_before

    def left(self, now: datetime) -> float:
        """
        Return the remaining share of the validity period at *now*: 1 is new, 0 or less is expired.
        """
        return (self.not_after - now) / self.length


@dataclass(frozen=True, slots=True)
class Window:
    """
    The window in which a CA suggests renewing a certificate (RFC 9773, section 4.2).
    """

    start: datetime
    end: datetime
    #: The URL of the CA's explanation; empty if there is none.
    explanation_url: str = ""

    def contains(self, moment: datetime) -> bool:
        """
        Return whether *moment* is inside the window.
        """
        return self.start <= moment < self.end


def wait_within(validity: Validity | None, wait: timedelta) -> timedelta:
    """
    Return *wait*, or a shorter time in proportion to a short *validity*.

    Args:
        validity: The validity of the certificate in service; None if there is none.
    """
    return min(wait, validity.length * SHARE_OF_A_SHORT_WAIT) if validity else wait


def now_in_utc() -> datetime:
    """
    Return the current time, aware and in UTC. The components use this clock unless a test passes another.
    """
    return datetime.now(UTC)
