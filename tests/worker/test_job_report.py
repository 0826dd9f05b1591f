"""
Tests of the reports of an ended job.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.issuance.service import CertificateIssuance, Outcome
from certworker.job_slot import JobSlot, running_in
from certworker.notify.notifier import Notifier
from certworker.observability.events import EVENTS
from certworker.observability.history import HISTORY
from certworker.runtime import build_tasks
from certworker.settings import load
from certworker.state.domain_records import RECORDS, DomainRecord, DomainRecords
from certworker.state.outbox import NOTIFIED, OUTBOX
from certworker.tracing.steps import JOB_STEPS
from tests.app_fixture import open_app
from tests.observability.metrics.scrapes import samples
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer

NAME = "shop.localhost"
MAIL = {"_APP_SMTP_HOST": "127.0.0.1", "_APP_EMAIL_CERTIFICATES": "ops@shop.dev"}


def issue(app: App) -> dict[str, Any]:
    """
    Call the registered function as a job does.
    """
    return build_tasks(app)["certworker.issue"](domain=NAME)


class Broken:
    """
    Raise an error in each call.
    """

    def __call__(self, *_: object, **__: object) -> Any:
        """
        Raise an error.
        """
        raise TypeError("odd")


class IssuanceWithAccident:
    """
    Issue a certificate, then cause an accident.
    """

    def __init__(self, issuance: CertificateIssuance, accident: Callable[[], object]) -> None:
        self.attempts = issuance.attempts
        self._issuance = issuance
        self._accident = accident

    def issue(self, *names: Any, **options: Any) -> Outcome:
        """
        Issue the certificate, then cause the accident.
        """
        outcome = self._issuance.issue(*names, **options)
        self._accident()
        return outcome


def with_accident(app: App, accident: Callable[[], object]) -> App:
    """
    Return *app* with an issuance that calls *accident* after each certificate.
    """
    issuance: Any = IssuanceWithAccident(app.issuance, accident)
    return replace(app, issuance=issuance)


class TestMetrics:
    def test_the_time_from_the_request_is_measured(self, app: App) -> None:
        """
        A new certificate counts with the time since its request, and a valid one does not.
        """
        slot = JobSlot(lambda: None, lambda: False, app.clock() - timedelta(hours=1))
        with running_in(slot):
            assert ["issued", "kept"] == [issue(app)["state"] for _ in range(2)]
        found = samples(app.metrics)

        assert 1 == found["certworker_request_to_service_seconds_count", ()]
        assert 3600 <= found["certworker_request_to_service_seconds_sum", ()] < 4000

    def test_each_step_of_a_job_is_measured(self, app: App) -> None:
        """
        The histogram of steps has each step of an issuance once, together no longer than the job.
        """
        issue(app)
        found, name = samples(app.metrics), "certworker_job_step_duration_seconds"
        steps = {
            dict(labels)["step"]: count
            for (series, labels), count in found.items()
            if series == f"{name}_count"
        }

        assert steps == {step: 1 for step in JOB_STEPS if step != "dry_run"}
        spent = sum(found[f"{name}_sum", (("step", step),)] for step in steps)
        assert 0 < spent <= found["certworker_job_duration_seconds_sum", ()]

    def test_a_job_without_a_time_is_not_measured(self, app: App) -> None:
        """
        A renewal was not requested, so its time does not count.
        """
        assert "issued" == issue(app)["state"]

        assert 0 == samples(app.metrics)["certworker_request_to_service_seconds_count", ()]

    def test_a_locked_name_is_a_conflict(self, app: App) -> None:
        """
        A job that finds its name locked counts as a conflict.
        """
        with app.locks.hold([NAME]):
            assert "waiting" == issue(app)["state"]

        assert 1 == samples(app.metrics)["certworker_lock_conflicts_total", ()]


class TestFailedReports:
    """
    Test that a failed report does not change the outcome of the job.
    """

    def test_a_redis_that_fails_after_the_issuance_fails_no_job(
        self, tmp_path: Path, own_redis: RedisServer, app_authority: FaultyAuthority, http_port: int
    ) -> None:
        """
        The job returns `issued`, and the certificate is in service, although Redis fails afterwards.
        """
        url = app_authority.directory_url
        with own_redis.client() as connection, open_app(tmp_path, connection, url, http_port) as app:
            result = issue(with_accident(app, own_redis.kill))

        assert ("issued", NAME, [NAME]) == (result["state"], result["name"], result["names"])
        assert app.certificates.metadata(NAME)

    @pytest.mark.parametrize(
        "key", [EVENTS, HISTORY + NAME, NOTIFIED + NAME, f"{OUTBOX}mail", RECORDS + NAME, "certworker:agenda"]
    )
    def test_a_key_of_another_type_fails_no_job(self, app: App, key: str) -> None:
        """
        The job returns `issued` although a key of its reports has another type.
        """
        notifier = Notifier.of(load(MAIL), app.connection, lambda _: None)

        def spoil() -> None:
            app.connection.delete(key)
            app.connection.set(key, "of another type")

        result = issue(with_accident(replace(app, notifier=notifier), spoil))

        assert "issued" == result["state"]

    def test_an_unexpected_error_in_a_report_fails_no_job(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The job returns `issued`, and the log has the traceback of the error.
        """
        notifier: Any = Notifier.of(load(MAIL), app.connection, lambda _: None)
        notifier.notify_recovered = Broken()
        result = issue(replace(app, notifier=notifier))

        assert "issued" == result["state"]
        assert ["worker.unexpected"] == [vars(line)["code"] for line in caplog.records if line.exc_info]


class TestRecord:
    def test_a_failed_job_reads_the_record_once_after_its_attempt(self, app: App) -> None:
        """
        A failed job reads the record of its name with the lock, and only once more, after its attempt.
        """
        reads: list[str] = []

        class Counting(DomainRecords):
            def read(self, name: str) -> DomainRecord | None:
                reads.append(name)
                return super().read(name)

        app.records.__class__ = Counting
        with pytest.raises(CertworkerError) as failed:
            build_tasks(app)["certworker.issue"](domain="nowhere.invalid")

        assert ["nowhere.invalid"] == reads
        events: Any = app.connection.xrevrange(EVENTS, count=1)
        ((_, fields),) = events
        event = json.loads(fields[b"event"])
        assert (failed.value.code, 1) == (event["code"], event["attempts"])
        assert event["next_check"]
