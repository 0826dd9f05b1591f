"""
The status of each name, from three sources that may each be empty.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.renewal.agenda import AGENDA
from certworker.renewal.domain_status import DomainStatus, list_status, status_of
from certworker.state.domain_records import RECORDS

NAME = "shop.localhost"


def status_after(app: App, name: str, after: timedelta = timedelta(0)) -> DomainStatus:
    """
    Return the status of *name* after the time *after*.
    """
    return status_of(name, app.agenda, app.records, app.certificates, app.clock() + after)


class TestStanding:
    @pytest.mark.parametrize(
        ("after", "state"),
        [(timedelta(0), "valid"), (timedelta(days=80), "due"), (timedelta(days=91), "expired")],
    )
    def test_the_state_of_a_certificate_is_its_age(self, app: App, after: timedelta, state: str) -> None:
        """
        The status shows due and expired certificates before any check has found them.
        """
        app.issuance.issue((NAME,))

        assert state == status_after(app, NAME, after).state

    def test_a_failure_has_its_remedy_while_the_old_certificate_is_in_service(self, app: App) -> None:
        """
        The status has the days left and the remedy.
        """
        app.issuance.issue((NAME,))
        with pytest.raises(CertworkerError):
            app.issuance.issue((NAME, "nowhere.invalid"))
        status = status_after(app, NAME)

        assert "failed" == status.state
        assert status.code
        assert status.remedy
        assert (status.days_left(app.clock()) or 0) > 80

    def test_an_emptied_redis_does_not_hide_a_certificate(self, app: App) -> None:
        """
        The certificate on the volume counts, whatever Redis has.
        """
        app.issuance.issue((NAME,))
        app.connection.flushall()

        assert "valid" == status_after(app, NAME).state

    def test_a_name_without_anything_is_missing(self, app: App) -> None:
        """
        An unknown name is no error.
        """
        assert "missing" == status_after(app, NAME).state


class TestStandings:
    def test_all_names_of_the_agenda_in_alphabetical_order(self, app: App) -> None:
        """
        Pages of names need a stable order.
        """
        for name in ("b.localhost", "a.localhost"):
            app.issuance.issue((name,))
        rows = list_status(app.agenda, app.records, app.certificates, app.clock())

        assert ["a.localhost", "b.localhost"] == [row.name for row in rows]

    def test_one_name_that_cannot_be_read_hides_no_other(self, app: App) -> None:
        """
        A record of another program, or files of a newer certworker, are the failure of their name only.
        """
        for name in ("a.localhost", "b.localhost", "c.localhost"):
            app.issuance.issue((name,))
        record: dict[Any, Any] = {
            "state": "failed",
            "updated": "2026-01-01T00:00:00Z",
            "attempts": "9" * 5_000,
        }
        app.connection.hset(RECORDS + "a.localhost", mapping=record)
        app.connection.zadd(AGENDA, dict.fromkeys(["../../etc/passwd", "", "x" * 300, "a\nb.org"], 9e9))
        directory = app.certificates.links.target_of("b.localhost")
        assert directory
        (directory / "meta.json").write_text('{"schema": 99}')

        rows = list(list_status(app.agenda, app.records, app.certificates, app.clock()))

        assert [("a.localhost", "failed", 0), ("b.localhost", "failed", 0), ("c.localhost", "valid", 0)] == [
            (row.name, row.state, row.attempts) for row in rows
        ]
        assert "state.schema_too_new" == rows[1].code

    def test_a_life_of_no_length_has_nothing_left(self, app: App) -> None:
        """
        The remaining share is zero for a certificate of another program that ends when it begins.
        """
        app.issuance.issue((NAME,))
        one = status_after(app, NAME)

        assert 0.0 == replace(one, not_before=one.not_after).share_left(app.clock())
