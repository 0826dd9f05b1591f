"""
How long to wait: as long as the CA says, else our own short pauses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import Random

#: The longest limit of Let's Encrypt is a week; a CA that names a later moment is mistaken.
LONGEST_WAIT = timedelta(days=8)
SHORTEST_WAIT = timedelta(seconds=1)
#: For a moment that has passed: its clock and ours may differ.
WAIT_WHEN_PAST = timedelta(seconds=60)

FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 2.0

#: How Boulder ends the text of every limit.
_MOMENT = re.compile(r"retry after (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", re.IGNORECASE)


def retry_after(headers: Mapping[str, str], now: datetime, text: str = "") -> datetime | None:
    """
    When the CA wants to be asked again, between a second and eight days from *now*; None: it did not say.

    It says so in the Retry-After header, in seconds or as a date (RFC 9110, section 10.2.3), or in the
    *text* of a limit.
    """
    wait = _wait(headers.get("Retry-After", "").strip(), now)
    if wait is None and (found := _MOMENT.search(text)):
        wait = datetime.fromisoformat(f"{found[1]}+00:00") - now
    if wait is None:
        return None
    if wait < timedelta(0):
        wait = WAIT_WHEN_PAST
    return now + min(max(wait, SHORTEST_WAIT), LONGEST_WAIT)


def pauses(random: Random) -> Iterator[float]:
    """
    Seconds between two looks at an order: milliseconds at first, doubled up to two seconds.

    A CA next door is done at once, one on the Internet looks from several countries. Each pause is up to
    a quarter longer, so that slots that began together do not ask together.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(1, 1.25)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _wait(header: str, now: datetime) -> timedelta | None:
    if header.isascii() and header.isdigit():
        # Nine digits are thirty years: longer than any wait, and no overflow.
        return timedelta(seconds=int(header[:9]))
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
