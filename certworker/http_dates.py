"""
The times in the headers of HTTP responses (RFC 9110, sections 6.6.1 and 10.2.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


def retry_after(headers: Mapping[str, str], now: datetime) -> datetime | None:
    """
    Return the time in the Retry-After header, which contains seconds or a date (RFC 9110, section 10.2.3).

    Return None if the header is missing or invalid.

    Args:
        headers: The headers of the response.
        now: When the response arrived.
    """
    header = headers.get("Retry-After", "").strip()
    if header.isascii() and header.isdigit():
        # Nine digits are about 30 years: longer than any pause, and short enough to avoid an overflow.
        return now + timedelta(seconds=int(header[:9]))
    return _date(header)


def response_date(headers: Mapping[str, str]) -> datetime | None:
    """
    Return the time in the Date header, from the clock of the server (RFC 9110, section 6.6.1).

    Return None if the header is missing or invalid.
    """
    return _date(headers.get("Date", ""))


def _date(header: str) -> datetime | None:
    try:
        time = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
