"""
Test that the reconciliation restores the agenda from the volume.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from certworker.app import App
from certworker.errors.acct import AccountKeyUnreadable
from certworker.errors.ca import ServerInternal
from certworker.errors.config import EmailMissing
from certworker.errors.fs import ClockSkew, VolumeReadOnly
from certworker.errors.rate import Paused
from certworker.errors.worker import SchemaTooNew
from certworker.renewal.agenda import AGENDA
from certworker.renewal.reconciler import Progress
from certworker.state.recorded_states import RecordedStates

NAME = "shop.localhost"


class TestRetryAfterTheStart:
    def test_failures_of_a_wrong_clock_are_retried_by_the_right_one(self, app: App) -> None:
        """
        A clock that was a day ahead has planned the next check for the next day.
        """
        now = app.clock()
        failure = ClockSkew(span="1 day", direction="ahead of", theirs="10:15 UTC")
        ahead = now + timedelta(days=1)
        app.records.record_failed([NAME], failure, next_check=ahead, now=ahead)
        app.agenda.put(NAME, ahead)

        assert 1 == app.reconciler.retry_failed(RecordedStates(app.connection), {failure.code}, now)
        assert [NAME] == app.agenda.due(app.clock(), 9)

    @pytest.mark.parametrize(
        ("settings_changed", "due"),
        [
            (
                True,
                ["clock.localhost", "file.localhost", "key.localhost", "mail.localhost", "newer.localhost"],
            ),
            (False, ["clock.localhost", "file.localhost", "key.localhost", "newer.localhost"]),
        ],
    )
    def test_only_failures_that_the_operator_may_have_ended_are_retried(
        self, app: App, settings_changed: bool, due: list[str]
    ) -> None:
        """
        A start retries the failures of files, versions and the clock. After a change to the settings, it
        retries every failure that needs a change by the operator.
        """
        now = app.clock()
        later = now + timedelta(hours=20)
        failures = {
            "file.localhost": VolumeReadOnly(
                path="/storage/certificates", uid=10001, reason="EACCES", directory="/storage", owner="root"
            ),
            "key.localhost": AccountKeyUnreadable(path="/storage/state/key.pem", reason="EACCES"),
            "newer.localhost": SchemaTooNew(where="meta.json", found=2, known=1),
            "clock.localhost": ClockSkew(span="1 day", direction="ahead of", theirs="10:15 UTC"),
            "mail.localhost": EmailMissing(),
            "busy.localhost": ServerInternal(authority="the CA", detail="busy"),
            "paused.localhost": Paused(
                authority="the CA", name="paused.localhost", url="https://ca.example/"
            ),
        }
        for name, failure in failures.items():
            app.records.record_failed([name], failure, next_check=later, now=now)
        app.agenda.put_many(dict.fromkeys([*failures, "unknown.localhost"], later))

        states = RecordedStates(app.connection)
        retried = app.reconciler.retry_after_the_start(states, settings_changed=settings_changed)

        assert len(due) == retried
        assert due == sorted(app.agenda.due(app.clock(), 9))


class TestReconcile:
    def test_unreadable_files_are_logged_and_do_not_affect_others(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An unreadable directory is logged, and the other names are on the agenda.
        """
        app.issuance.issue((NAME,))
        unreadable = app.certificates.directory / "loop.localhost"
        unreadable.mkdir()
        (unreadable / "fullchain.pem").symlink_to("fullchain.pem")
        app.connection.flushdb()

        app.reconciler.reconcile()

        assert NAME in app.agenda
        assert "loop.localhost" in caplog.text

    def test_the_agenda_is_restored_from_the_volume(self, app: App) -> None:
        """
        The names on the volume return to the agenda after a loss of Redis.
        """
        for number in range(3):
            app.issuance.issue((f"shop{number}.localhost",))
        app.connection.flushall()

        assert 3 == app.reconciler.reconcile()
        assert 3 == len(app.agenda)

    @pytest.mark.parametrize("score", [float("inf"), 1e300])
    def test_a_name_without_a_next_check_gets_one(self, app: App, score: float) -> None:
        """
        A name with an infinite or very late time gets a next check. Older versions stored such times.
        """
        app.issuance.issue((NAME,))
        app.connection.zadd(AGENDA, {NAME: score, "refused.localhost": score})

        app.reconciler.reconcile()

        for name in (NAME, "refused.localhost"):
            next_check = app.agenda.next_check(name)
            assert next_check is not None
            assert next_check - app.clock() <= timedelta(minutes=10)

    def test_a_planned_check_is_unchanged(self, app: App) -> None:
        """
        A time that is on the agenda is unchanged, for example that of the next attempt.
        """
        outcome = app.issuance.issue((NAME,))
        app.reconciler.reconcile()
        next_check = app.agenda.next_check(NAME)

        assert next_check is not None
        assert outcome.next_check.timestamp() == pytest.approx(next_check.timestamp())


class TestProgress:
    def test_a_long_comparison_logs_its_progress(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A long comparison has a log line every ten seconds, with the rate and the remaining time.
        """
        now = [datetime(2026, 11, 28, tzinfo=UTC)]
        progress = Progress(50_000, lambda: now[0])
        with caplog.at_level(logging.INFO, "certworker"):
            for seconds in range(1, 26):
                now[0] += timedelta(seconds=1)
                progress.add(500, adopted=400)
                assert len(caplog.messages) == seconds // 10

        assert caplog.messages[-1].endswith(
            ": 10000 of 50000 names done, 8000 adopted, 500/s, 80 seconds left"
        )
        assert 10_000 == progress.adopted

    def test_a_short_comparison_logs_no_progress(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A short comparison has no log line.
        """
        now = datetime(2026, 11, 28, tzinfo=UTC)
        with caplog.at_level(logging.INFO, "certworker"):
            Progress(3, lambda: now).add(3, adopted=0)

        assert [] == caplog.messages
