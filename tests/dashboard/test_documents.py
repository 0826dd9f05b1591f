"""
Tests of the JSON documents.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certworker.app import App
from certworker.dashboard.documents import document, status_document
from certworker.renewal.domain_status import DomainStatus, status_of

NOW = datetime(2026, 11, 29, 1, 2, 3, 999_999, tzinfo=UTC)


@dataclass(frozen=True)
class Inner:
    """
    A value within another.
    """

    at: datetime | None
    span: timedelta


@dataclass(frozen=True)
class Outer:
    """
    A value with all types of fields.
    """

    inner: tuple[Inner, ...]
    names: dict[str, Path]
    count: int
    flag: bool | None


class TestDocument:
    def test_each_type_has_its_form(self) -> None:
        """
        Times are texts in UTC, time spans are seconds, and dataclasses are objects at any depth.
        """
        value = Outer(
            (Inner(NOW, timedelta(minutes=2)), Inner(None, timedelta(0))), {"a": Path("/x")}, 7, None
        )
        expected = {
            "inner": [{"at": "2026-11-29T01:02:03Z", "span": 120}, {"at": None, "span": 0}],
            "names": {"a": "/x"},
            "count": 7,
            "flag": None,
        }

        assert expected == document(value)
        assert expected == json.loads(json.dumps(document(value)))


class TestStatusDocument:
    def test_it_has_each_field_of_the_status(self, app: App) -> None:
        """
        The document has each field of the status, the remaining days and the page of the failure.
        """
        app.issuance.issue(("shop.localhost",))
        one = status_of("shop.localhost", app.agenda, app.records, app.certificates, app.clock())
        found = status_document(one, app.clock(), "certworker explain x")

        assert {*(field.name for field in fields(DomainStatus)), "docs", "days_left"} == set(found)
        assert 89 < found["days_left"] <= 90
        assert "certworker explain x" == found["docs"]
        assert ["shop.localhost"] == found["names"]
