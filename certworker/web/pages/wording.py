"""
Times and numbers in words, for the templates.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from certworker import minutes
from certworker.renewal.policy import in_words

#: A moment closer than this is "now".
SHORTEST = timedelta(seconds=2)


def time(moment: datetime) -> str:
    """
    Return *moment* to the minute. The views name the time zone once.
    """
    return f"{moment:%Y-%m-%d %H:%M}"


def first_minute(moment: datetime) -> str:
    """
    Return the minute of a step that is planned for *moment*, rounded up.
    """
    return time(minutes.first_minute(moment))


def seconds(moment: datetime) -> str:
    """
    Return *moment* to the second.
    """
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def iso(moment: datetime) -> str:
    """
    Return *moment* for a program (RFC 3339).
    """
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def from_now(moment: datetime, now: datetime) -> str:
    """
    Return the distance of *moment* from *now*: "in 3 days", "5 hours ago" or "now".
    """
    distance = moment - now
    if abs(distance) < SHORTEST:
        return "now"
    return f"in {in_words(distance)}" if distance > timedelta(0) else f"{in_words(-distance)} ago"


def round_seconds(duration: float) -> str:
    """
    Return *duration*, in seconds, with one decimal: "1.9 s".
    """
    return f"{duration:.1f} s"


def percent(share: float) -> int:
    """
    Return *share*, between 0 and 1, in whole percent. Only a complete share is 100.
    """
    return _parts(share, 100)


def permille(share: float) -> int:
    """
    Return *share*, between 0 and 1, in thousandths.
    """
    return _parts(share, 1000)


def _parts(share: float, whole: int) -> int:
    return max(0, min(whole, int(share * whole)))


def counted(number: int, noun: str) -> str:
    """
    Return *number* and *noun*, which gets an s unless *number* is 1: "1 name", "50,000 names".
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
