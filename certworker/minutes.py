"""
Moments to the minute, for messages.

The end of a pause is rounded up, so that an attempt in the shown minute is never too early.
"""

from __future__ import annotations

from datetime import datetime, timedelta

MINUTE = timedelta(minutes=1)


def first_minute(moment: datetime) -> datetime:
    """
    Return the first whole minute that is not before *moment*.
    """
    minute = moment.replace(second=0, microsecond=0)
    if minute == moment or datetime.max.replace(tzinfo=moment.tzinfo) - moment < MINUTE:
        return minute
    return minute + MINUTE


def not_before(moment: datetime) -> str:
    """
    Return the first minute, in UTC, in which something is allowed or planned that begins at *moment*.
    """
    return f"{first_minute(moment):%Y-%m-%d %H:%M} UTC"
