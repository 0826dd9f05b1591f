"""
The functions that a job may name.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.errors.name import Wildcard
from certworker.errors.payload import PayloadMissing, PayloadType
from certworker.errors.redis import RedisPermissionDenied
from certworker.errors.worker import AlreadyInProgress, Unexpected
from certworker.observability.log import sentence
from certworker.runtime import build_tasks
from certworker.state.locks import LOCKS
from certworker.worker.fair_scheduling import ARGUMENTS
from tests.servers.faulty_authority import FaultyAuthority

NAME = "shop.localhost"
MINUTE = timedelta(minutes=1)


def issue(app: App, **arguments: object) -> dict[str, Any]:
    """
    Call the registered function as a job would.
    """
    return build_tasks(app)["certworker.issue"](**arguments)


def audited(caplog: pytest.LogCaptureFixture) -> list[str]:
    """
    The audit lines.
    """
    return [line.getMessage() for line in caplog.records if getattr(line, "event", "") == "audit"]


class TestIssue:
    def test_the_result_has_the_certificate_and_the_next_check(self, app: App) -> None:
        """
        A second request returns `kept`.
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
    def test_a_bad_request_is_one_warning_and_reaches_neither_ca_nor_disk(
        self,
        app: App,
        app_authority: FaultyAuthority,
        caplog: pytest.LogCaptureFixture,
        arguments: dict[str, object],
        failure: type[CertworkerError],
    ) -> None:
        """
        The function raises the failure of the value that is wrong.
        """
        with caplog.at_level(logging.INFO, "certworker"), pytest.raises(failure):
            issue(app, **arguments)

        assert [logging.WARNING] == [record.levelno for record in caplog.records]
        assert failure.code in caplog.text
        assert [] == [asked for asked in app_authority.requests if asked.kind == "newOrder"]
        assert [] == app.agenda.names()

    def test_fair_scheduling_has_the_same_arguments(self, app: App) -> None:
        """
        It reads requests without calling the function.
        """
        signature = inspect.signature(build_tasks(app)["certworker.issue"])

        assert ARGUMENTS == tuple(signature.parameters)

    def test_a_warning_about_names_is_logged_once_for_all_names(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It compares each name with its own text in the request.
        """
        with caplog.at_level(logging.WARNING, "certworker.worker"):
            issue(app, domains=[" a.localhost", "b.localhost", "c.localhost ", "ｄ.localhost"])

        assert [
            ("a.localhost", "spaces around the name were removed"),
            ("d.localhost", "some characters were replaced by their plain forms"),
        ] == [(line.__dict__["domain"], line.getMessage()) for line in caplog.records]

    def test_a_name_that_another_job_has_locked_ends_the_job_as_waiting(self, app: App) -> None:
        """
        The job neither fails nor waits in its slot.
        """
        with app.locks.hold([NAME]):
            result = issue(app, domain=NAME)

        assert ("waiting", AlreadyInProgress.code) == (result["state"], result["code"])

    def test_a_name_with_an_orphaned_lock_is_retried_after_the_lease(self, app: App) -> None:
        """
        Redis accepted no writes when its job failed: neither the next attempt nor the release of the lock.
        """
        app.connection.set(LOCKS + NAME, "a job that ended", px=10_000)
        before = app.clock()

        assert "waiting" == issue(app, domain=NAME)["state"]
        moment = app.agenda.next_check(NAME)
        assert moment
        assert app.locks.duration < moment - before < 2 * app.locks.duration

    def test_an_earlier_check_of_a_locked_name_stays_planned(self, app: App) -> None:
        """
        A later check would delay an urgent renewal.
        """
        soon = app.clock() + timedelta(seconds=1)
        app.agenda.put(NAME, soon)
        with app.locks.hold([NAME]):
            issue(app, domain=NAME)

        moment = app.agenda.next_check(NAME)
        assert moment
        assert abs(moment - soon) < timedelta(milliseconds=1)

    def test_the_last_line_of_a_failure_has_code_remedy_and_the_next_attempt(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        One line is enough to act on.
        """
        with caplog.at_level(logging.INFO, "certworker"), pytest.raises(CertworkerError) as caught:
            issue(app, domain="nowhere.invalid")
        last = sentence(caplog.records[-1])

        assert last.startswith(f"certificate not issued: [{caught.value.code}] ")
        assert caught.value.remedy in last
        assert " attempt=1 next_attempt=20" in last

    def test_a_redis_error_during_an_attempt_has_its_own_code(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log, the record and the result have it instead of `worker.unexpected`. The next job succeeds.
        """
        connection: Any = app.connection
        # Redis rejects only the challenges.
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


class TestUnexpected:
    @pytest.mark.parametrize("component", ["preflight", "locks"])
    def test_an_unexpected_error_fails_its_job_and_is_retried(
        self, app: App, caplog: pytest.LogCaptureFixture, component: str
    ) -> None:
        """
        Within an attempt or before it, the log has the traceback, and the pauses grow.
        """
        broken = replace(app, issuance=replace(app.issuance, **{component: Broken()}))  # type: ignore[arg-type] # a double
        pauses = []
        for _ in range(3):
            with pytest.raises(Unexpected):
                issue(broken, domain=NAME)
            record = app.records.read(NAME)
            assert record
            assert ("failed", Unexpected.code) == (record.state, record.code)
            moment = app.agenda.next_check(NAME)
            assert moment
            pauses.append(moment - app.clock())

        assert [True, True, True] == [
            pause < limit
            for pause, limit in zip(pauses, (2 * MINUTE, 12 * MINUTE, 120 * MINUTE), strict=True)
        ]
        assert pauses == sorted(pauses)
        traces = [line for line in caplog.records if line.exc_info]
        assert 3 == len(traces)
        assert all("odd" in str(line.exc_info) for line in traces)
        assert 3 == caplog.text.count("certificate not issued: [worker.unexpected]")

    def test_the_plan_of_another_worker_stays(self, app: App) -> None:
        """
        The worker that holds the lock records the next attempt.
        """
        broken = replace(app, issuance=replace(app.issuance, locks=Broken()))  # type: ignore[arg-type] # a double
        with app.locks.hold([NAME]), pytest.raises(Unexpected):
            issue(broken, domain=NAME)

        assert app.records.read(NAME) is None

    def test_an_unexpected_error_fails_the_other_functions_as_well(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        They raise the same code and log a traceback.
        """
        functions = build_tasks(replace(app, removal=Broken(), due_names=Broken()))  # type: ignore[arg-type] # doubles
        for name, arguments in (("certworker.remove", {"domain": NAME}), ("certworker.look", {})):
            with pytest.raises(Unexpected):
                functions[name](**arguments)

        assert 2 == sum(bool(line.exc_info) for line in caplog.records)


class Broken:
    """
    A component whose calls fail.
    """

    def __call__(self, *_: object, **__: object) -> Any:
        """
        Fail.
        """
        raise TypeError("odd")

    hold = remove = enqueue = __call__


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
    def test_a_forced_issuance_is_logged_with_its_requester(
        self, app: App, caplog: pytest.LogCaptureFixture, given: dict[str, object], logged: list[str]
    ) -> None:
        """
        So is a request with `by`. The text of the job is printable in the log.
        """
        with caplog.at_level(logging.INFO, "certworker"):
            issue(app, domain=NAME, **given)

        assert logged == audited(caplog)

    def test_a_removal_is_logged_with_its_requester(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        The line comes before the removal, so a crash in between does not lose it.
        """
        with caplog.at_level(logging.INFO, "certworker"):
            build_tasks(app)["certworker.remove"](domain=NAME, by="ann")

        assert [
            "removal requested by ann",
            "unknown; there was nothing to take out of service",
        ] == audited(caplog)
