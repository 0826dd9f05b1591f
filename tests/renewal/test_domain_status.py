"""
Tests of the status of each name, whose three sources may each be empty.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from certworker.app import App
from certworker.cli.names_table import urgency
from certworker.errors import CertworkerError
from certworker.errors.worker import Unexpected
from certworker.renewal import domain_status
from certworker.renewal.agenda import AGENDA
from certworker.renewal.domain_status import (
    ADOPTED,
    DomainState,
    DomainStatus,
    list_states,
    list_status,
    names_by_urgency,
    status_of,
)
from certworker.state.domain_records import RECORDS
from certworker.state.recorded_states import RecordedStates
from certworker.storage import metadata_index

NAME = "shop.localhost"


def status_after(app: App, name: str, after: timedelta = timedelta(0)) -> DomainStatus:
    """
    Return the status of *name* after the time *after*.
    """
    return status_of(name, app.agenda, app.records, app.certificates, app.clock() + after)


def _fields(one: DomainState) -> tuple[object, ...]:
    found = one.certificate()
    issuer = (found.issuer, found.authority or ADOPTED) if found else ("", "")
    return one.name, one.state, one.detail, one.not_after, one.renewal, one.by, *issuer


class TestStatusOf:
    @pytest.mark.parametrize(
        ("after", "state"),
        [(timedelta(0), "valid"), (timedelta(days=80), "due"), (timedelta(days=91), "expired")],
    )
    def test_the_state_of_a_certificate_depends_on_its_age(
        self, app: App, after: timedelta, state: str
    ) -> None:
        """
        The state of a certificate depends on its age, even before its next check.
        """
        app.issuance.issue((NAME,))

        assert state == status_after(app, NAME, after).state

    def test_a_failed_renewal_has_its_remedy_and_the_remaining_days(self, app: App) -> None:
        """
        The status of a failed renewal has the code, the remedy and the days until the expiry.
        """
        app.issuance.issue((NAME,))
        with pytest.raises(CertworkerError):
            app.issuance.issue((NAME, "nowhere.invalid"))
        status = status_after(app, NAME)

        assert "failed" == status.state
        assert status.code
        assert status.remedy
        assert (status.days_left(app.clock()) or 0) > 80

    def test_an_empty_redis_does_not_hide_a_certificate(self, app: App) -> None:
        """
        A certificate on the volume is valid although Redis is empty.
        """
        app.issuance.issue((NAME,))
        app.connection.flushall()

        assert "valid" == status_after(app, NAME).state

    def test_an_unknown_name_is_missing(self, app: App) -> None:
        """
        A name without a record and a certificate is missing.
        """
        assert "missing" == status_after(app, NAME).state


class TestListStatus:
    def test_the_names_are_in_alphabetical_order(self, app: App) -> None:
        """
        The names are in alphabetical order, so that pages of names are stable.
        """
        for name in ("b.localhost", "a.localhost"):
            app.issuance.issue((name,))
        rows = list_status(app.agenda, app.records, app.certificates, app.clock())

        assert ["a.localhost", "b.localhost"] == [row.name for row in rows]

    def test_an_unreadable_name_does_not_hide_the_others(self, app: App) -> None:
        """
        A name with an unreadable record or certificate has a failure, and does not hide the others.
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

    @pytest.mark.parametrize("is_large", [False, True])
    def test_the_quick_list_has_the_same_states(
        self, app: App, is_large: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        For each kind of name, the list of states agrees with the list of statuses, at each age, with an index
        of the certificates and without one.
        """
        if is_large:
            monkeypatch.setattr(domain_status, "FEW_NAMES", 0)
            monkeypatch.setattr(metadata_index, "LEAST_CERTIFICATES", 0)
        now = app.clock()
        for name in ("valid.localhost", "failing.localhost", "unreadable.localhost", "moved.localhost"):
            app.issuance.issue((name,))
        app.records.start_attempt(["issuing.localhost"], next_check=now, now=now)
        app.records.defer([("waiting.localhost",)], next_check=now, now=now)
        app.records.record_failed(
            ["failing.localhost", "without.localhost"], Unexpected(fault="x"), next_check=now, now=now
        )
        app.connection.hset(RECORDS + "moved.localhost", "state", "moved")
        app.connection.set(RECORDS + "lost.localhost", "of another type")
        covered = ["below.covered.localhost", "lost.localhost", "issuing.localhost", "waiting.localhost"]
        app.agenda.put_many(dict.fromkeys([*covered, "without.localhost"], now))
        app.certificates.covered.add(["below.covered.localhost"])
        directory = app.certificates.links.target_of("unreadable.localhost")
        assert directory
        (directory / "meta.json").write_text('{"schema": 99}')
        for name in ("deleted.localhost", "dangling.localhost"):
            app.issuance.issue((name,))
        app.certificates.links.update_index()
        shutil.rmtree(app.certificates.links.domain_dir("deleted.localhost"))
        dangling = app.certificates.links.generation("dangling.localhost")
        assert dangling
        shutil.rmtree(dangling)
        app.issuance.issue(("later.localhost",))

        seen = set()
        for after in (timedelta(0), timedelta(days=80), timedelta(days=91)):
            sources = app.certificates, now + after
            full = list(list_status(app.agenda, app.records, *sources))
            expected = [
                (
                    *(one.name, one.state, one.detail, one.not_after, one.renewal, one.by),
                    *(one.issuer, one.authority),
                )
                for one in full
            ]
            stores = app.agenda, RecordedStates(app.connection), *sources
            assert expected == [_fields(one) for one in list_states(*stores)]
            # Only a check of the name finds that its files are unreadable, and records it.
            readable = [one.name for one in sorted(full, key=urgency) if one.name != "unreadable.localhost"]
            assert readable == [name for name in names_by_urgency(*stores) if name != "unreadable.localhost"]
            seen |= {one.detail for one in full}
        assert {"valid", "due", "expired", "failing", "no_certificate", "moved", "issuing", "waiting"} < seen

    @pytest.mark.parametrize(
        ("years", "days_left", "share"), [(10, 3_000, 1.0), (10, 60, 0.2), (10, 30, 0.1), (0.25, 18.25, 0.2)]
    )
    def test_the_share_of_an_imported_certificate_counts_its_last_300_days(
        self, app: App, years: float, days_left: float, share: float
    ) -> None:
        """
        For alerts, the share of an imported certificate of ten years falls only in its last 300 days.
        """
        one, now = status_after(app, NAME), app.clock()
        ends = now + timedelta(days=days_left)
        imported = replace(
            one, state="imported", not_before=ends - timedelta(days=365 * years), not_after=ends
        )

        assert share == pytest.approx(imported.watched_share_left(now), abs=1e-6)

    def test_a_certificate_without_a_lifetime_has_no_share_left(self, app: App) -> None:
        """
        The remaining share of a certificate that ends when it begins is zero.
        """
        app.issuance.issue((NAME,))
        one = status_after(app, NAME)

        assert 0.0 == replace(one, not_before=one.not_after).share_left(app.clock())
