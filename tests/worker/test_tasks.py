"""
Tests of the registered functions.
"""

from __future__ import annotations

import inspect
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from certworker.app import App
from certworker.errors import CertworkerError, NotRecorded
from certworker.errors.name import Wildcard
from certworker.errors.payload import PayloadMissing, PayloadType
from certworker.errors.redis import RedisPermissionDenied
from certworker.errors.worker import AlreadyInProgress, Unexpected
from certworker.job_slot import JobSlot, running_in
from certworker.observability.log import HumanLines
from certworker.runtime import build_tasks
from certworker.state.locks import LOCKS
from certworker.worker import tasks
from certworker.worker.fair_scheduling import ARGUMENTS
from tests.servers.faulty_authority import FaultyAuthority

NAME = "shop.localhost"
MINUTE = timedelta(minutes=1)


def issue(app: App, **arguments: object) -> dict[str, Any]:
    """
    Call the registered function as a job does.
    """
    return build_tasks(app)["certworker.issue"](**arguments)


def audited(caplog: pytest.LogCaptureFixture) -> list[str]:
    """
    Return the audit lines of the log.
    """
    return [line.getMessage() for line in caplog.records if getattr(line, "event", "") == "audit"]


class TestIssue:
    def test_the_result_has_the_certificate_and_the_next_check(self, app: App) -> None:
        """
        The result has the state, the names, the expiry and the next check. A second request returns
        `kept`.
        """
        result = issue(app, domain=NAME)

        assert "issued" == result["state"]
        assert (NAME,) == tuple(result["names"])
        assert result["not_after"] > result["next_check"]
        assert "kept" == issue(app, domain=NAME)["state"]

    @pytest.mark.parametrize(
        ("arguments", "failure"),
        [
            ({}, PayloadMissing),
            ({"domain": 7}, PayloadType),
            ({"domain": ["a.localhost"]}, PayloadType),
            ({"domain": NAME, "force": "false"}, PayloadType),
            ({"domain": "*.shop.localhost"}, Wildcard),
        ],
    )
    def test_an_invalid_request_is_one_warning_without_an_order(
        self,
        app: App,
        app_authority: FaultyAuthority,
        caplog: pytest.LogCaptureFixture,
        arguments: dict[str, object],
        failure: type[CertworkerError],
    ) -> None:
        """
        An invalid request raises the failure of its invalid value, logs one warning and sends no order.
        """
        with caplog.at_level(logging.INFO, "certworker"), pytest.raises(failure):
            issue(app, **arguments)

        assert [logging.WARNING] == [record.levelno for record in caplog.records]
        assert failure.code in caplog.text
        assert [] == [request for request in app_authority.requests if request.kind == "newOrder"]
        assert [] == app.agenda.names()

    def test_fair_scheduling_has_the_same_arguments(self, app: App) -> None:
        """
        Fair scheduling reads the same arguments as the function, because it does not call it.
        """
        signature = inspect.signature(build_tasks(app)["certworker.issue"])

        assert ARGUMENTS == tuple(signature.parameters)

    def test_a_warning_about_names_is_logged_once_for_all_names(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log has each warning about a name once, with that name.
        """
        with caplog.at_level(logging.WARNING, "certworker.worker"):
            issue(app, domains=[" a.localhost", "b.localhost", "c.localhost ", "ｄ.localhost"])

        assert [
            ("a.localhost", "spaces around the name were removed"),
            ("d.localhost", "some characters were replaced by their plain forms"),
        ] == [(line.__dict__["domain"], line.getMessage()) for line in caplog.records]

    def test_the_job_of_a_locked_name_ends_as_waiting(self, app: App) -> None:
        """
        A job for a locked name ends as `waiting`. It neither fails nor occupies its slot.
        """
        with app.locks.hold([NAME]):
            result = issue(app, domain=NAME)

        assert ("waiting", AlreadyInProgress.code) == (result["state"], result["code"])

    def test_a_forced_job_waits_for_the_other_job_and_issues(
        self, app: App, app_authority: FaultyAuthority
    ) -> None:
        """
        The job of a forced request for a locked name frees its slot, waits for the lock, and orders.
        """
        before, waiting = issue(app, domain=NAME), threading.Event()
        slot = JobSlot(waiting.set, lambda: False)

        def forced() -> dict[str, Any]:
            with running_in(slot):
                return issue(app, domain=NAME, force=True)

        with ThreadPoolExecutor(1) as pool:
            with app.locks.hold([NAME]):
                job = pool.submit(forced)
                assert waiting.wait(30)
            result = job.result(60)

        assert "issued" == result["state"]
        assert before["serial"] != result["serial"]
        assert 2 == sum(asked.kind == "newOrder" for asked in app_authority.requests)

    def test_a_forced_job_ends_as_waiting_after_its_patience(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The wait of a forced request has a limit, so that the job ends before its time limit.
        """
        monkeypatch.setattr(tasks, "FORCED_WAIT_SECONDS", 0.3)
        with app.locks.hold([NAME]):
            result = issue(app, domain=NAME, force=True)

        assert ("waiting", AlreadyInProgress.code) == (result["state"], result["code"])

    def test_a_name_with_an_orphaned_lock_is_retried_after_the_lease(self, app: App) -> None:
        """
        A name with the lock of an ended job is retried after the lock's lease.
        """
        app.connection.set(LOCKS + NAME, "a job that ended", px=10_000)
        before = app.clock()

        assert "waiting" == issue(app, domain=NAME)["state"]
        next_check = app.agenda.next_check(NAME)
        assert next_check
        assert app.locks.duration < next_check - before < 2 * app.locks.duration

    def test_an_earlier_next_check_of_a_locked_name_is_unchanged(self, app: App) -> None:
        """
        A job for a locked name does not postpone an earlier next check.
        """
        soon = app.clock() + timedelta(seconds=1)
        app.agenda.put(NAME, soon)
        with app.locks.hold([NAME]):
            issue(app, domain=NAME)

        next_check = app.agenda.next_check(NAME)
        assert next_check
        assert abs(next_check - soon) < timedelta(milliseconds=1)

    def test_the_last_line_of_a_failure_has_code_remedy_and_next_attempt(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The last log line of a failed job has the code, the remedy and the next attempt.
        """
        with caplog.at_level(logging.INFO, "certworker"), pytest.raises(CertworkerError) as caught:
            issue(app, domain="nowhere.invalid")
        last = HumanLines(color=False).format(caplog.records[-1])

        assert f"certificate not issued: [{caught.value.code}] " in last
        assert caught.value.remedy in last
        assert " attempt=1 next_attempt=20" in last

    def test_a_redis_error_during_an_attempt_has_its_own_code(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log and the record have `redis.rights` instead of `worker.unexpected`. The next job
        succeeds.
        """
        connection: Any = app.connection
        # The user cannot write the keys of challenges.
        connection.execute_command("ACL", "SETUSER", "default", "resetkeys", "~certworker:[^c]*", "~rq:*")
        try:
            with caplog.at_level(logging.INFO, "certworker"), pytest.raises(RedisPermissionDenied):
                issue(app, domain=NAME)
        finally:
            connection.execute_command("ACL", "SETUSER", "default", "allkeys")
        record = app.records.read(NAME)

        assert caplog.records[-1].getMessage().startswith("certificate not issued: [redis.rights] ")
        assert record
        assert ("failed", "redis.rights") == (record.state, record.code)
        assert "issued" == issue(app, domain=NAME)["state"]

    def test_a_job_without_a_plan_for_its_next_attempt_does_not_end(self, app: App) -> None:
        """
        If Redis rejects the attempt and the plan of the next one, the job has to run again.
        """
        app.connection.config_set("maxmemory", "1")
        try:
            with pytest.raises(NotRecorded):
                issue(app, domain=NAME)
        finally:
            app.connection.config_set("maxmemory", "0")

        assert "issued" == issue(app, domain=NAME)["state"]


class TestTenant:
    def test_the_tenant_of_a_request_is_in_the_record_and_in_events(self, app: App) -> None:
        """
        The record and the events have the tenant of the newest request that names one, even after a failure.
        """
        assert "" == issue(app, domain=NAME)["tenant"]
        assert "acme" == issue(app, domain=NAME, tenant="acme")["tenant"]
        assert "acme" == issue(app, domain=NAME)["tenant"]
        with pytest.raises(CertworkerError):
            issue(app, domain="nowhere.invalid", tenant="acme")
        removed = build_tasks(app)["certworker.remove"](domain=NAME)

        assert ("removed", "acme") == (removed["state"], removed["tenant"])
        assert ["", "acme"] == [app.records.tenant_of(name) for name in (NAME, "nowhere.invalid")]


class TestUnexpected:
    @pytest.mark.parametrize("component", ["preflight", "locks"])
    def test_an_unexpected_error_fails_its_job_and_is_retried(
        self, app: App, caplog: pytest.LogCaptureFixture, component: str
    ) -> None:
        """
        An unexpected error fails its job with a traceback in the log, and the pauses between retries
        grow.
        """
        broken = replace(app, issuance=replace(app.issuance, **{component: Broken()}))  # type: ignore[arg-type] # a double
        pauses = []
        for _ in range(3):
            with pytest.raises(Unexpected):
                issue(broken, domain=NAME)
            record = app.records.read(NAME)
            assert record
            assert ("failed", Unexpected.code) == (record.state, record.code)
            next_check = app.agenda.next_check(NAME)
            assert next_check
            pauses.append(next_check - app.clock())

        assert [True, True, True] == [
            pause < limit
            for pause, limit in zip(pauses, (2 * MINUTE, 12 * MINUTE, 120 * MINUTE), strict=True)
        ]
        assert pauses == sorted(pauses)
        traces = [line for line in caplog.records if line.exc_info]
        assert 3 == len(traces)
        assert all("odd" in str(line.exc_info) for line in traces)
        assert 3 == caplog.text.count("certificate not issued: [worker.unexpected]")

    def test_an_error_does_not_change_the_record_of_a_locked_name(self, app: App) -> None:
        """
        An unexpected error writes no record while another worker holds the lock.
        """
        broken = replace(app, issuance=replace(app.issuance, locks=Broken()))  # type: ignore[arg-type] # a double
        with app.locks.hold([NAME]), pytest.raises(Unexpected):
            issue(broken, domain=NAME)

        assert app.records.read(NAME) is None

    def test_an_unexpected_error_fails_each_function(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Each function raises `worker.unexpected` and logs a traceback.
        """
        functions = build_tasks(replace(app, removal=Broken(), due_names=Broken()))  # type: ignore[arg-type] # doubles
        for name, arguments in (("certworker.remove", {"domain": NAME}), ("certworker.look", {})):
            with pytest.raises(Unexpected):
                functions[name](**arguments)

        assert 2 == sum(bool(line.exc_info) for line in caplog.records)


class Broken:
    """
    Raise an error in each call.
    """

    def __call__(self, *_: object, **__: object) -> Any:
        """
        Raise an error.
        """
        raise TypeError("odd")

    hold_and_ask = remove = enqueue = __call__


class TestAudit:
    @pytest.mark.parametrize(
        ("given", "logged"),
        [
            ({"force": True, "by": "a\nb"}, ["forced issuance requested by a\\nb"]),
            ({"force": True}, ["forced issuance requested by an unnamed producer"]),
            ({"by": "certworker resume"}, ["certificate requested by certworker resume"]),
            ({}, []),
        ],
    )
    def test_a_request_is_logged_with_its_requester(
        self, app: App, caplog: pytest.LogCaptureFixture, given: dict[str, object], logged: list[str]
    ) -> None:
        """
        A forced request and a request with `by` are logged, with the requester's name in printable
        form.
        """
        with caplog.at_level(logging.INFO, "certworker"):
            issue(app, domain=NAME, **given)

        assert logged == audited(caplog)

    def test_a_removal_is_logged_with_its_requester(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        A removal is logged before its start, so that a crash does not lose the line.
        """
        with caplog.at_level(logging.INFO, "certworker"):
            build_tasks(app)["certworker.remove"](domain=NAME, by="ann")

        assert [
            "removal requested by ann",
            "unknown name; nothing was taken out of service",
        ] == audited(caplog)
