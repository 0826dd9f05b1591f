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
LONGEST_LIMIT = timedelta(days=8)
SHORTEST_LIMIT = timedelta(seconds=1)
#: For a limit that ended before it was told: the CA's clock and ours differ.
LIMIT_IN_THE_PAST = timedelta(seconds=60)

#: The first pauses. A CA next door needs some milliseconds to look at a name, and fewer to sign: whoever asks
#: too early asks once more in vain, and waits twice as long for the next time.
VALIDATION_POLL_SECONDS = 0.008
ISSUANCE_POLL_SECONDS = 0.002
#: Before the first retry of a request for a resource that the CA has just made and does not know yet.
UNKNOWN_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0

#: How Boulder ends the text of every limit.
_MOMENT = re.compile(r"retry after (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", re.IGNORECASE)


def retry_after(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """
    The moment that the Retry-After header names, in seconds or as a date (RFC 9110, section 10.2.3).

    None: there is none, or it cannot be read.
    """
    header = headers.get("Retry-After", "").strip()
    if header.isascii() and header.isdigit():
        # Nine digits are thirty years: longer than any wait, and no overflow.
        return now + timedelta(seconds=int(header[:9]))
    return _date(header)


def response_date(headers: Mapping[str, str]) -> datetime | None:
    """
    When an answer was made, to the second, by the clock of its server (RFC 9110, section 6.6.1).
    """
    return _date(headers.get("Date", ""))


def rate_limit_end(headers: Mapping[str, str], text: str, now: datetime) -> datetime | None:
    """
    When a limit of the CA ends, between a second and eight days from *now*; None: it did not say.

    It says so in the Retry-After header, or in the *text* of the problem.
    """
    moment = retry_after(headers, now) or _moment_in(text)
    if moment is None:
        return None
    if moment < now:
        return now + LIMIT_IN_THE_PAST
    return min(max(moment, now + SHORTEST_LIMIT), now + LONGEST_LIMIT)


def intervals(first_seconds: float, random: Random) -> Iterator[float]:
    """
    Seconds between two looks at an order: milliseconds at first, doubled up to two seconds.

    A CA next door is done at once, one on the Internet looks from several countries. Each pause is up to
    a quarter longer, so that slots that began together do not ask together.
    """
    pause = first_seconds
    while True:
        yield pause * random.uniform(1, 1.25)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _date(header: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment_in(text: str) -> datetime | None:
    found = _MOMENT.search(text)
    try:
        return datetime.fromisoformat(f"{found[1]}+00:00") if found else None
    except ValueError:
        return None
