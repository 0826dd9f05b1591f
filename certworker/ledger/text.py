"""
How values stand in Redis: UTF-8, and moments as ISO 8601 in UTC with a Z.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime


def text_in(value: bytes | str | None) -> str:
    """
    *value* as text, whoever wrote it: what is not UTF-8 is replaced, and nothing is empty.
    """
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def written(moment: datetime | None) -> str:
    """
    *moment* to the second, as `2026-11-23T10:15:09Z`; nothing for None.
    """
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment else ""


def moment_in(text: str | None) -> datetime | None:
    """
    The moment in *text*; None where there is none, whoever wrote it.
    """
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def moment_of(score: float | None) -> datetime | None:
    """
    The moment of a sorted set's *score* (seconds since 1970); None for infinity and for years beyond 9999.
    """
    if score is None or not math.isfinite(score):
        return None
    try:
        return datetime.fromtimestamp(score, UTC)
    except (OverflowError, ValueError, OSError):
        return None
