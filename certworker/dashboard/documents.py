"""
Values as JSON documents, for the API and `certworker status --json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from certworker.renewal.domain_status import DomainStatus


def document(value: object) -> Any:
    """
    Return *value* as JSON types: a dataclass as an object, a time as a string, and a time span in seconds.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: document(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, timedelta):
        return round(value.total_seconds())
    if isinstance(value, Mapping):
        return {str(key): document(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [document(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def status_document(one: DomainStatus, now: datetime, docs: str) -> dict[str, Any]:
    """
    Return the document of *one*, as `certworker status --json` prints it.

    Args:
        now: The current time.
        docs: The URL or the command that explains the code of its failure; empty without a failure.
    """
    days = one.days_left(now)
    return {**document(one), "docs": docs, "days_left": None if days is None else round(days, 2)}
