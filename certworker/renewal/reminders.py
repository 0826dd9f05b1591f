"""
When the operator of an imported certificate gets a reminder: before and at its expiry.

certworker does not renew the certificate, so the reminders begin early, and each is sent once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from certworker.renewal.domain_status import LONGEST_WATCHED
from certworker.validity import Validity

#: The first reminder comes with this share of the validity period left, but at most `LONGEST_BEFORE` before
#: the expiry, because some certificates are valid for ten years. The metrics reach the share at the same
#: time.
FIRST_SHARE = 1 / 5
LONGEST_BEFORE = LONGEST_WATCHED * FIRST_SHARE

#: The other reminders, in days before the expiry.
DAYS = (14, 7, 3, 1)
#: With a shorter validity period, these reminders come proportionally closer to the expiry.
FULL_LENGTH = timedelta(days=90)

FIRST = "first"
ENDED = "ended"


def reminder_at(validity: Validity, left: timedelta) -> str | None:
    """
    Return the latest reminder that is due when the certificate expires in *left*; None: none is due.

    The reminder is :data:`FIRST`, :data:`ENDED`, or one of :data:`DAYS` in the form `14d`.
    """
    due = [reminder for reminder, before in _reminders(validity) if left <= before]
    return due[-1] if due else None


def _reminders(validity: Validity) -> Iterator[tuple[str, timedelta]]:
    yield FIRST, min(validity.length * FIRST_SHARE, LONGEST_BEFORE)
    for days in DAYS:
        yield f"{days}d", timedelta(days=days) * min(1.0, validity.length / FULL_LENGTH)
    yield ENDED, timedelta(0)
