"""
A scenario and its expectations: the code, the remedy, a request to the CA, and the next check.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Thread
from typing import Any, Literal

import pytest

from certworker.app import App
from certworker.doctor.report import examine
from certworker.errors import CertworkerError
from certworker.runtime import build_tasks
from certworker.supervision import Heartbeats
from certworker.worker.worker import run
from tests.scenarios.installation import Installation
from tests.servers.fault_injection import Fault
from tests.servers.worker import PATIENCE_SECONDS, run_command, wait_until

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SOON = timedelta(seconds=10)

#: The lease time, which is enough for a renewal on a busy machine. The worker checks for expired leases three
#: times in this time.
LEASE_SECONDS = 6

#: The modules with scenarios, each with a list SCENARIOS.
MODULES = (
    *("configuration", "names", "dns", "dns01", "caa", "http", "account", "order", "limits", "ca"),
    *("volume", "proxy", "redis", "queue", "clock", "renewal", "imports", "replication", "loops", "healthy"),
)

#: Prefixes of variables that a command gets only from the scenario.
OWN_PREFIXES = ("_APP_", "CERTWORKER_")


@dataclass(frozen=True)
class Scenario:
    """
    An installation with a problem, and the expected report of certworker.
    """

    title: str
    #: The code of the failure. It is empty if there is no problem.
    code: str
    build: Callable[[Installation], object]
    #: A part of the remedy, such as the record, the variable or the value to change.
    remedy: str = ""
    #: Whether the CA receives an order.
    asked: bool = False
    #: The time until the next check. None means no check, because the same job would fail again.
    retry_after: timedelta | None = MINUTE
    #: The preflight check that finds the problem. It is empty if no check finds it.
    check: str = ""
    #: The part that reports the problem: a job that fails, a job on the queue, a warning of a job that
    #: succeeds, a line of the doctor, a loop of the worker, or a command.
    shows: Literal["job", "queue", "warning", "doctor", "loop", "command"] = "job"
    #: The step of the loop.
    act: Callable[[App], object] = lambda app: app.expiry_alerts.log()

    def __str__(self) -> str:
        return f"{self.code or 'healthy'} · {self.title}"


def each_scenario(scenarios: Iterable[Scenario]) -> pytest.MarkDecorator:
    """
    Return the marker that runs each of *scenarios* as a separate test.
    """
    return pytest.mark.parametrize("scenario", list(scenarios), ids=str)


def refused_by_the_ca(
    title: str,
    code: str,
    kind: str,
    fault: Fault,
    remedy: str,
    *,
    asked: bool = True,
    retry_after: timedelta | None = SOON,
) -> Scenario:
    """
    Return a scenario whose CA answers each request of *kind* with *fault*.
    """
    return Scenario(
        title,
        code,
        lambda installation: installation.ca.fail(kind, fault, times=None),
        remedy,
        asked=asked,
        retry_after=retry_after,
    )


def all_scenarios() -> list[Scenario]:
    """
    Return all scenarios.
    """
    return [
        scenario
        for module in MODULES
        for scenario in importlib.import_module(f"tests.scenarios.test_{module}").SCENARIOS
    ]


def check_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    Build *scenario*, run a job, the doctor, a loop or a command, and check its report.
    """
    scenario.build(installation)
    if scenario.shows == "command":
        _check_command(scenario, installation)
        return
    app = installation.open() if scenario.shows != "doctor" or installation.before else None
    if app is None or scenario.shows == "doctor":
        _check_doctor(scenario, installation)
        return
    before, caplog_begins = installation.orders(), len(caplog.records)
    result: dict[str, Any] = {}
    with caplog.at_level(logging.INFO, "certworker"):
        if scenario.shows == "loop":
            scenario.act(app)
        elif scenario.shows == "queue":
            _run_worker(installation, app)
        else:
            result = job(app, installation.name, **installation.arguments)
    lines = [each for each in caplog.records[caplog_begins:] if each.name.startswith("certworker.")]

    assert scenario.asked is (installation.orders() > before), result
    if scenario.shows in ("loop", "queue"):
        _check_line(scenario, lines[-1])
    elif scenario.shows == "warning" or not scenario.code:
        _check_warnings(scenario, result, lines)
    else:
        _check_failure(scenario, result, lines[-1])
    if scenario.shows in ("job", "queue") and scenario.code:
        _check_retry(scenario, app, installation.name)


def job(app: App, name: str, **arguments: object) -> dict[str, Any]:
    """
    Run a job for *name*, and return its result or its failure.
    """
    try:
        return dict(build_tasks(app)["certworker.issue"](**{"domain": name, **arguments}))
    except CertworkerError as failure:
        return {"state": "failed", **failure.as_json()}


def attempt(name: str) -> Callable[[App], object]:
    """
    Return a step that runs a job for *name*, which may fail.
    """

    def act(app: App) -> None:
        with suppress(CertworkerError):
            app.issuance.issue((name,))

    return act


def _check_failure(scenario: Scenario, result: dict[str, Any], last: logging.LogRecord) -> None:
    assert scenario.code == result.get("code"), result
    assert scenario.code == getattr(last, "code", None), last.getMessage()
    assert scenario.remedy in result["remedy"]


def _check_retry(scenario: Scenario, app: App, name: str) -> None:
    record = app.records.read(name)
    moment = app.agenda.next_check(name)
    if scenario.retry_after is None:
        assert moment is None
        return
    assert record is not None
    assert moment is not None
    if scenario.shows == "queue":
        assert scenario.code == record.code
    # The pause has a random part, which is up to a minute after a limit, and the machine may be slow.
    pause = moment - record.updated
    assert scenario.retry_after * 0.9 - SOON <= pause <= scenario.retry_after * 1.5 + MINUTE, pause


def _check_warnings(scenario: Scenario, result: dict[str, Any], lines: list[logging.LogRecord]) -> None:
    assert "issued" == result["state"], result
    warnings = [each for each in lines if each.levelno >= logging.WARNING]
    assert [scenario.code] * bool(scenario.code) == [getattr(each, "code", "") for each in warnings], warnings
    assert all(scenario.remedy in each.getMessage() for each in warnings)


def _check_line(scenario: Scenario, last: logging.LogRecord) -> None:
    assert scenario.code == getattr(last, "code", None), last.getMessage()
    assert scenario.remedy in last.getMessage()


def _run_worker(installation: Installation, app: App) -> None:
    """
    Run a worker until the job on the queue has ended.
    """
    stop = Event()
    options: dict[str, Any] = {
        "slots": 2,
        "heartbeats": Heartbeats(),
        "stop": stop,
        "lease_seconds": LEASE_SECONDS,
        "stop_deadline_seconds": 5,
    }
    thread = Thread(target=run, args=(app.connection, build_tasks(app)), kwargs=options, daemon=True)
    thread.start()
    ended = (b"finished", b"failed")
    try:
        wait_until(
            lambda: app.connection.hget(installation.job_key, "status") in ended or None,
            lambda: f"the job has not ended: {app.connection.hgetall(installation.job_key)!r}",
        )
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)


def _check_command(scenario: Scenario, installation: Installation) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIXES)}
    environment = inherited | installation.environ() | installation.shell
    ended = run_command(*installation.command, environment=environment)
    *_, last = (ended.stdout + ended.stderr).splitlines()

    assert 0 != ended.returncode
    assert f"[{scenario.code}]" in last
    assert scenario.remedy in last


def _check_doctor(scenario: Scenario, installation: Installation) -> None:
    findings = [each for each in examine(installation.environ(), [installation.name]) if each.code]

    assert 0 == installation.orders() or installation.before
    assert scenario.code in [each.code for each in findings], findings
    assert scenario.remedy in next(each.remedy for each in findings if each.code == scenario.code)
