"""
Tests of the daily log lines about overdue certificates, which are errors near their expiry.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.renewal.domain_status import DomainState, DomainStatus
from certworker.renewal.expiry_alerts import MAX_LINES, ExpiryAlerts
from certworker.state.once_per import LOGGED, LOGGED_TTL, OncePer
from certworker.storage.metadata_index import CertificateSummary
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def in_service(
    left: float, *, failed: bool = True, validity: timedelta = 90 * DAY, name: str = "shop.org"
) -> DomainStatus:
    """
    Return a name whose certificate has the share *left* of its *validity*, with *failed* renewals.
    """
    not_after = NOW + left * validity
    return DomainStatus(
        name=name,
        state="failed" if failed else "due",
        detail="failing" if failed else "due",
        names=(name,),
        serial="01",
        not_before=not_after - validity,
        not_after=not_after,
        renewal=NOW,
        next_check=NOW,
        attempts=6 if failed else 0,
        code="http.timeout" if failed else "",
        message="Nobody answers at port 80." if failed else "",
        remedy="Open TCP port 80." if failed else "",
        issuer="issuer",
        authority="letsencrypt",
        by="",
    )


def sources(
    *statuses: DomainStatus,
) -> tuple[Callable[[], list[DomainState]], Callable[[Sequence[str]], list[DomainStatus]]]:
    """
    Return the functions that return the states of all names, and the *statuses* of some names.
    """
    certificates = {
        each.name: CertificateSummary(
            each.not_before, each.not_after, each.serial, each.issuer, each.authority, each.authority
        )
        for each in statuses
        if each.not_before and each.not_after
    }
    states = [
        DomainState(each.name, each.state, each.detail, certificates.get(each.name), each.by)
        for each in statuses
    ]
    return lambda: states, lambda names: [each for each in statuses if each.name in names]


def logged(
    caplog: pytest.LogCaptureFixture, *names: DomainStatus, connection: Redis
) -> list[tuple[str, str]]:
    """
    Return the level and the text of each line about *names*.
    """
    caplog.clear()
    with caplog.at_level(logging.INFO):
        reminders: set[tuple[str, str]] = set()

        def remind(name: str, subject: str, _failure: CertworkerError, _now: datetime) -> bool:
            is_new = (name, subject) not in reminders
            reminders.add((name, subject))
            return is_new

        first_today = OncePer(connection, LOGGED, LOGGED_TTL).first
        ExpiryAlerts(*sources(*names), first_today, remind, lambda: NOW).log()
    return [(record.levelname, record.getMessage()) for record in caplog.records]


class TestLevel:
    @pytest.mark.parametrize("validity", [timedelta(hours=160), 45 * DAY, 90 * DAY])
    @pytest.mark.parametrize(
        ("left", "level"), [(0.21, None), (0.19, "WARNING"), (0.09, "ERROR"), (0.0, "ERROR"), (-0.5, "ERROR")]
    )
    def test_the_level_depends_on_the_remaining_share(
        self,
        caplog: pytest.LogCaptureFixture,
        connection: Redis,
        left: float,
        level: str | None,
        validity: timedelta,
    ) -> None:
        """
        The level of a line depends on the remaining share of the certificate's lifetime.
        """
        lines = logged(caplog, in_service(left, validity=validity), connection=connection)

        assert [level] * bool(level) == [line[0] for line in lines]

    def test_the_line_has_the_time_the_attempts_the_cause_and_the_remedy(
        self, caplog: pytest.LogCaptureFixture, connection: Redis
    ) -> None:
        """
        The line has the remaining time, the number of attempts, the last cause and the remedy.
        """
        ((_, line),) = logged(caplog, in_service(0.15), connection=connection)

        assert (
            "[renew.overdue] The certificate of shop.org expires in 13 days; 6 attempts to renew it failed. "
            "The last cause: Nobody answers at port 80. Next step: Open TCP port 80." == line
        )

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"attempts": 1}, "; 1 attempt to renew it failed. The last cause: Nobody answers at port 80. "),
            ({"attempts": 0, "state": "waiting"}, "; its renewal is waiting. Nobody answers at port 80. "),
            ({"attempts": 0, "state": "issuing", "code": ""}, "; an attempt to renew it is running. "),
            (
                {"attempts": 0, "state": "due", "code": "", "message": "", "remedy": ""},
                "; no attempt to renew it is known. Next step: See its history: certworker explain shop.org",
            ),
        ],
    )
    def test_the_line_has_the_state_of_the_renewal(
        self, caplog: pytest.LogCaptureFixture, connection: Redis, change: dict[str, Any], words: str
    ) -> None:
        """
        The line has the state of the renewal, and another remedy if no attempt took place.
        """
        ((_, line),) = logged(caplog, replace(in_service(0.04), **change), connection=connection)

        assert words in line

    @pytest.mark.parametrize(
        ("seconds", "words"), [(43, "expires in 43 seconds;"), (179, "expires in 2 minutes;")]
    )
    def test_a_short_remaining_time_is_in_seconds_or_minutes(
        self, caplog: pytest.LogCaptureFixture, connection: Redis, seconds: int, words: str
    ) -> None:
        """
        The remaining time of a short-lived certificate is in seconds or minutes.
        """
        late = in_service(seconds / 900, validity=timedelta(minutes=15))
        ((_, line),) = logged(caplog, late, connection=connection)

        assert words in line

    @pytest.mark.parametrize(
        ("left", "words"),
        [(0.01, "expires in 21 hours"), (-0.01, "expired 21 hours ago"), (-0.1, "expired 9 days ago")],
    )
    def test_the_line_has_the_time_with_its_unit(
        self, caplog: pytest.LogCaptureFixture, connection: Redis, left: float, words: str
    ) -> None:
        """
        The line has the remaining time, or the time since the expiry, in hours or days.
        """
        ((_, line),) = logged(caplog, in_service(left), connection=connection)

        assert words in line

    def test_a_late_renewal_without_a_failure_is_logged_near_the_expiry(
        self, caplog: pytest.LogCaptureFixture, connection: Redis
    ) -> None:
        """
        Without a failure, a certificate is overdue only when less than a twentieth of its lifetime
        remains.
        """
        assert [] == logged(caplog, in_service(0.08, failed=False), connection=connection)
        ((level, line),) = logged(caplog, in_service(0.04, failed=False), connection=connection)
        assert "ERROR" == level
        assert "certworker explain shop.org" in line

    def test_a_name_without_a_certificate_is_not_overdue(
        self, caplog: pytest.LogCaptureFixture, connection: Redis
    ) -> None:
        """
        A name without a certificate has no line, because its attempts log the failures.
        """
        nothing = replace(in_service(0.1), not_before=None, not_after=None)

        assert [] == logged(caplog, nothing, connection=connection)


class TestRepetition:
    def test_a_line_is_logged_once_a_day_and_at_each_higher_level(
        self, caplog: pytest.LogCaptureFixture, connection: Redis
    ) -> None:
        """
        Each name has one line a day, and another one when its level rises or the certificate expires.
        """
        levels = [
            [level for level, _ in logged(caplog, in_service(left), connection=connection)]
            for left in (0.19, 0.18, 0.09, 0.08, -0.1, -0.2)
        ]
        connection.flushall()

        assert [["WARNING"], [], ["ERROR"], [], ["ERROR"], []] == levels
        assert logged(caplog, in_service(-0.3), connection=connection)

    def test_the_number_of_lines_has_a_limit(
        self, caplog: pytest.LogCaptureFixture, connection: Redis
    ) -> None:
        """
        The number of lines has a limit, and the last line counts the overdue names.
        """
        overdue = [in_service(0.1, name=f"{each}.org") for each in range(MAX_LINES + 50)]

        lines = logged(caplog, *overdue, connection=connection)

        assert MAX_LINES + 1 == len(lines)
        assert "overdue names in total: 150" in lines[-1][1]

    def test_reminders_are_not_overdue_names(
        self, caplog: pytest.LogCaptureFixture, connection: Redis
    ) -> None:
        """
        As many reminders as the log takes have no line about overdue names.
        """
        ending = [replace(imported(2 * DAY), name=f"{each}.org") for each in range(MAX_LINES + 50)]

        assert MAX_LINES == len(logged(caplog, *ending, connection=connection))


def imported(left: timedelta, validity: timedelta = 90 * DAY) -> DomainStatus:
    """
    Return a name with an imported certificate that is valid for the time *left*.
    """
    status = in_service(left / validity, failed=False, validity=validity)
    return replace(status, state="imported", detail="imported", authority="imported", renewal=None)


def alerts_about(app: App, status: DomainStatus) -> ExpiryAlerts:
    """
    Return the alerts of another worker, for which *status* is the only name.
    """

    states, statuses = sources(status)
    return replace(app.expiry_alerts, states=states, statuses=statuses, clock=lambda: NOW)


class TestImported:
    def test_each_reminder_is_logged_once(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        Each reminder is sent once, even after a restart, and daily after the end. They are not overdue.
        """
        levels = []
        for hours in (500, 400, 399, 330, 329, 160, 70, 69, 20, 19, -1, -2):
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                assert 0 == alerts_about(app, imported(timedelta(hours=hours))).log().overdue
            assert ["import.ends"] * len(caplog.records) == [vars(line)["code"] for line in caplog.records]
            levels.append("".join(line.levelname[0] for line in caplog.records))

        assert ["", "W", "", "W", "", "E", "E", "", "E", "", "E", ""] == levels
        app.connection.delete(f"{LOGGED}overdue:shop.org:ended")
        alerts_about(app, imported(-DAY)).log()
        assert "The imported certificate for shop.org expired 24 hours ago" in caplog.text

    def test_a_successor_has_reminders_of_its_own(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        The reminders of a certificate do not count for its successor.
        """
        for serial in ("01", "01", "02"):
            status = replace(imported(2 * DAY), serial=serial)
            alerts_about(app, status).log()

        assert 2 == caplog.text.count("expires in 2 days; certworker does not renew it.")

    def test_a_name_that_an_imported_wildcard_served_has_none(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A covered name has no reminder, because it gets a certificate of its own.
        """
        alerts_about(app, replace(imported(2 * DAY), by="*.org", state="covered")).log()

        assert "import.ends" not in caplog.text


class TestRenewal:
    def test_a_renewal_that_fails_for_weeks_is_reported(
        self, app: App, app_authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A renewal that has failed for weeks is logged as overdue.
        """
        name = "shop.localhost"
        metadata = app.issuance.issue((name,)).metadata
        app_authority.faults.fail("newOrder", Fault(), times=None)
        with pytest.raises(CertworkerError):
            app.issuance.issue((name,), force=True)

        with caplog.at_level(logging.WARNING):
            assert 0 == app.expiry_alerts.log().overdue
            assert 1 == replace(app.expiry_alerts, clock=lambda: metadata.not_after - 5 * DAY).log().overdue

        assert "renew.overdue" == caplog.records[-1].__dict__["code"]
