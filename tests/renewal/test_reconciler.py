"""
Everything that Redis has lost is restored from the volume.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from certworker.app import App
from certworker.errors.ca import ServerInternal
from certworker.errors.config import EmailMissing
from certworker.errors.rate import Paused
from certworker.renewal.agenda import AGENDA
from certworker.renewal.reconciler import Progress

NAME = "shop.localhost"


class TestRetryAfterAChange:
    def test_what_needs_a_person_is_tried_now_and_nothing_else(self, app: App) -> None:
        """
        The remedy ends with the command that restarts the worker.
        """
        now = app.clock()
        later = now + timedelta(hours=20)
        failures = {
            "mail.localhost": EmailMissing(),
            "busy.localhost": ServerInternal(authority="the CA", detail="busy"),
            "paused.localhost": Paused(
                authority="the CA", name="paused.localhost", url="https://ca.example/"
            ),
        }
        for name, failure in failures.items():
            app.records.record_failed([name], failure, next_check=later, now=now)
        app.agenda.put_many(dict.fromkeys([*failures, "unknown.localhost"], later))

        assert 1 == app.reconciler.retry_after_a_change()
        assert ["mail.localhost"] == app.agenda.due(app.clock(), 9)


class TestReconcile:
    def test_files_that_cannot_be_read_are_reported_and_stop_nothing(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A defective directory does not stop the renewals of the others.
        """
        app.issuance.issue((NAME,))
        spoilt = app.certificates.directory / "loop.localhost"
        spoilt.mkdir()
        (spoilt / "fullchain.pem").symlink_to("fullchain.pem")
        app.connection.flushdb()

        app.reconciler.reconcile()

        assert NAME in app.agenda
        assert "loop.localhost" in caplog.text

    def test_what_only_the_volume_remembers_comes_back(self, app: App) -> None:
        """
        An emptied Redis loses no renewal.
        """
        for number in range(3):
            app.issuance.issue((f"shop{number}.localhost",))
        app.connection.flushall()

        assert 3 == app.reconciler.reconcile()
        assert 3 == len(app.agenda)

    @pytest.mark.parametrize("score", [float("inf"), 1e300])
    def test_a_name_without_a_next_check_gets_one(self, app: App, score: float) -> None:
        """
        Older versions planned no check after some refusals, also for certificates in service.
        """
        app.issuance.issue((NAME,))
        app.connection.zadd(AGENDA, {NAME: score, "refused.localhost": score})

        app.reconciler.reconcile()

        for name in (NAME, "refused.localhost"):
            moment = app.agenda.next_check(name)
            assert moment is not None
            assert moment - app.clock() <= timedelta(minutes=10)

    def test_what_the_agenda_knows_is_left_alone(self, app: App) -> None:
        """
        Times that are already on the agenda stay, for example those of the next attempt after a failure.
        """
        outcome = app.issuance.issue((NAME,))
        app.reconciler.reconcile()
        moment = app.agenda.next_check(NAME)

        assert moment is not None
        assert outcome.next_check.timestamp() == pytest.approx(moment.timestamp())


class TestProgress:
    def test_a_line_every_ten_seconds_has_the_rate_and_the_time_left(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An operator who moves 50,000 certificates sees how long it takes.
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

    def test_short_work_has_no_line(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A small volume is compared every hour without any line.
        """
        now = datetime(2026, 11, 28, tzinfo=UTC)
        with caplog.at_level(logging.INFO, "certworker"):
            Progress(3, lambda: now).add(3, adopted=0)

        assert [] == caplog.messages
