"""
The door between a job and the house.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certworker.app import App
from certworker.devca.authority import DevelopmentAuthority
from certworker.errors import CertworkerError
from certworker.errors.name import Wildcard
from certworker.errors.payload import PayloadMissing, PayloadType
from certworker.errors.redis import RedisPermissionDenied
from certworker.errors.worker import AlreadyInProgress, Unexpected
from certworker.issuance.service import CertificateIssuance, Outcome
from certworker.notify.notifier import Notifier
from certworker.observability.log import sentence
from certworker.settings import load
from certworker.state.domain_records import RECORDS
from certworker.state.events import EVENTS
from certworker.state.history import HISTORY
from certworker.state.locks import LOCKS
from certworker.state.outbox import NOTIFIED, OUTBOX
from certworker.worker.fair_scheduling import ARGUMENTS
from certworker.worker.tasks import build_tasks
from tests.app_fixture import open_app
from tests.servers.redis import RedisServer

NAME = "shop.localhost"
MINUTE = timedelta(minutes=1)
MAIL = {"_APP_SMTP_HOST": "127.0.0.1", "_APP_EMAIL_CERTIFICATES": "ops@shop.dev"}


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
    def test_the_result_says_what_is_in_service_and_what_comes_next(self, app: App) -> None:
        """
        Producers in other languages read it.
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
        door_authority: DevelopmentAuthority,
        caplog: pytest.LogCaptureFixture,
        arguments: dict[str, object],
        failure: type[CertworkerError],
    ) -> None:
        """
        Jobs are hostile input.
        """
        with caplog.at_level(logging.INFO, "certworker"), pytest.raises(failure):
            issue(app, **arguments)

        assert [logging.WARNING] == [record.levelno for record in caplog.records]
        assert failure.code in caplog.text
        assert [] == [asked for asked in door_authority.requests if asked.kind == "newOrder"]
        assert [] == app.agenda.names()

    def test_parking_knows_its_arguments(self, app: App) -> None:
        """
        A request that waits in a lane was read without the function; both know the same arguments.
        """
        signature = inspect.signature(build_tasks(app)["certworker.issue"])

        assert ARGUMENTS == tuple(signature.parameters)

    def test_what_is_odd_about_a_name_is_logged_once_for_all_names(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Each name is looked at as it was given, and not the list of them.
        """
        with caplog.at_level(logging.WARNING, "certworker.worker"):
            issue(app, domains=[" a.localhost", "b.localhost", "c.localhost ", "ｄ.localhost"])

        assert [
            ("a.localhost", "spaces around the name were dropped"),
            ("d.localhost", "some characters were replaced by their plain forms"),
        ] == [(line.__dict__["domain"], line.getMessage()) for line in caplog.records]

    def test_a_name_that_another_worker_has_ends_the_job_as_waiting(self, app: App) -> None:
        """
        That is no failure, and a slot never waits.
        """
        with app.locks.hold([NAME]):
            result = issue(app, domain=NAME)

        assert ("waiting", AlreadyInProgress.code) == (result["state"], result["code"])

    def test_a_name_whose_lock_has_no_worker_is_tried_after_the_lease(self, app: App) -> None:
        """
        Redis took no writes when its job failed: neither the plan of an attempt nor the release of the lock.
        """
        app.connection.set(LOCKS + NAME, "a job that ended", px=10_000)
        before = app.clock()

        assert "waiting" == issue(app, domain=NAME)["state"]
        moment = app.agenda.next_check(NAME)
        assert moment
        assert app.locks.duration < moment - before < 2 * app.locks.duration

    def test_an_earlier_check_of_a_name_that_another_worker_has_stays_planned(self, app: App) -> None:
        """
        A later one would cost a renewal that is urgent.
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
        Nothing else has to be read.
        """
        with caplog.at_level(logging.INFO, "certworker"), pytest.raises(CertworkerError) as caught:
            issue(app, domain="nowhere.invalid")
        last = sentence(caplog.records[-1])

        assert last.startswith(f"certificate not issued: [{caught.value.code}] ")
        assert caught.value.remedy in last
        assert " attempt=1 next_attempt=20" in last

    def test_an_error_of_redis_on_the_way_is_told_as_what_it_is(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        In the log, in the ledger and to other programs; it is no fault of ours that asks to be reported.
        """
        connection: Any = app.connection
        # Only the challenges are refused.
        connection.execute_command("ACL", "SETUSER", "default", "resetkeys", "~certworker:[^c]*", "~rq:*")
        try:
            with caplog.at_level(logging.INFO, "certworker"), pytest.raises(RedisPermissionDenied):
                issue(app, domain=NAME)
        finally:
            connection.execute_command("ACL", "SETUSER", "default", "allkeys")
        record = app.records.read(NAME)

        assert (
            caplog.records[-1]
            .getMessage()
            .startswith("certificate not issued: [redis.rights] Redis at 127.0.0.1:")
        )
        assert record
        assert ("failed", "redis.rights") == (record.state, record.code)
        assert "issued" == issue(app, domain=NAME)["state"]


class TestAfterTheIssuance:
    """
    What others are told of a job does not decide how it ends.
    """

    def test_a_redis_that_is_gone_then_fails_no_job(
        self, tmp_path: Path, own_redis: RedisServer, door_authority: DevelopmentAuthority, http_port: int
    ) -> None:
        """
        The certificate is in service, and the result says so.
        """
        url = door_authority.directory_url
        with own_redis.client() as connection, open_app(tmp_path, connection, url, http_port) as app:
            result = issue(followed(app, own_redis.kill), domain=NAME)

        assert ("issued", NAME, [NAME]) == (result["state"], result["name"], result["names"])
        assert app.certificates.metadata(NAME)

    @pytest.mark.parametrize(
        "key", [EVENTS, HISTORY + NAME, NOTIFIED + NAME, f"{OUTBOX}mail", RECORDS + NAME, "certworker:agenda"]
    )
    def test_a_key_of_another_type_fails_no_job(self, app: App, key: str) -> None:
        """
        Anyone who can write to Redis can make one.
        """
        office = Notifier.of(load(MAIL), app.connection, lambda _: None)

        def spoil() -> None:
            app.connection.delete(key)
            app.connection.set(key, "of another type")

        result = issue(followed(replace(app, notifier=office), spoil), domain=NAME)

        assert "issued" == result["state"]

    def test_nor_does_a_fault_of_our_own(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        It is logged with its traceback.
        """

        office: Any = Notifier.of(load(MAIL), app.connection, lambda _: None)
        office.notify_recovered = Broken()
        result = issue(replace(app, notifier=office), domain=NAME)

        assert "issued" == result["state"]
        assert ["worker.unexpected"] == [line.code for line in caplog.records if line.exc_info]  # type: ignore[attr-defined]


class TestUnexpected:
    @pytest.mark.parametrize("place", ["preflight", "locks"])
    def test_a_fault_of_our_own_fails_its_job_and_is_tried_again(
        self, app: App, caplog: pytest.LogCaptureFixture, place: str
    ) -> None:
        """
        With its traceback in the log, be it within an attempt or before one began; each time more patiently.
        """
        broken = replace(app, issuance=replace(app.issuance, **{place: Broken()}))  # type: ignore[arg-type]
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
        assert all("a fault" in str(line.exc_info) for line in traces)
        assert 3 == caplog.text.count("certificate not issued: [worker.unexpected]")

    def test_the_plan_of_another_worker_stays(self, app: App) -> None:
        """
        It has the name, and knows more.
        """
        broken = replace(app, issuance=replace(app.issuance, locks=Broken()))  # type: ignore[arg-type]
        with app.locks.hold([NAME]), pytest.raises(Unexpected):
            issue(broken, domain=NAME)

        assert app.records.read(NAME) is None

    def test_it_fails_the_other_functions_as_well(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        With the same code, and a traceback.
        """
        functions = build_tasks(replace(app, removal=Broken(), reconciler=Broken()))  # type: ignore[arg-type]
        for name, arguments in (("certworker.remove", {"domain": NAME}), ("certworker.look", {})):
            with pytest.raises(Unexpected):
                functions[name](**arguments)

        assert 2 == sum(bool(line.exc_info) for line in caplog.records)


class Broken:
    """
    A part of the house with a fault.
    """

    def __call__(self, *_: object, **__: object) -> Any:
        """
        Fail.
        """
        raise TypeError("a fault")

    hold = remove = look = __call__


class Followed:
    """
    An issuer after which something happens.
    """

    def __init__(self, issuer: CertificateIssuance, then: Callable[[], object]) -> None:
        self.attempts = issuer.attempts
        self._issuer = issuer
        self._then = then

    def issue(self, *names: Any, **options: Any) -> Outcome:
        """
        Issue, then let it happen.
        """
        outcome = self._issuer.issue(*names, **options)
        self._then()
        return outcome


def followed(app: App, then: Callable[[], object]) -> App:
    """
    *house*, in which *then* is called after each issuance.
    """
    return replace(app, issuance=Followed(app.issuance, then))  # type: ignore[arg-type]


class TestAudit:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"force": True, "by": "a\nb"}, ["force asked for through the queue by: a\\nb"]),
            ({"force": True}, ["force asked for through the queue by: nobody who gave a name"]),
            ({"by": "certworker resume"}, ["request asked for through the queue by: certworker resume"]),
            ({}, []),
        ],
    )
    def test_what_sets_caution_aside_is_told_with_who_asked(
        self, app: App, caplog: pytest.LogCaptureFixture, given: dict[str, object], said: list[str]
    ) -> None:
        """
        Somebody will ask who used up the limits of the week.
        """
        with caplog.at_level(logging.INFO, "certworker"):
            issue(app, domain=NAME, **given)

        assert said == audited(caplog)

    def test_a_removal_is_told_with_who_asked(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        Before it is done, so that a worker that dies in it has said why.
        """
        with caplog.at_level(logging.INFO, "certworker"):
            build_tasks(app)["certworker.remove"](domain=NAME, by="ann")

        assert [
            "removal asked for through the queue by: ann",
            "unknown; there was nothing to take out of service",
        ] == audited(caplog)
