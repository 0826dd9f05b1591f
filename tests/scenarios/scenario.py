"""
What a scene is, and what it has to show: the code, the remedy, whether the CA was asked, the next moment.
"""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
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
from tests.scenarios.worlds import Stage
from tests.servers.fault_injection import Fault
from tests.servers.worker import PATIENCE_SECONDS, wait_until

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SOON = timedelta(seconds=10)

#: Even on a busy machine a worker says in time that it is alive; it looks for the dead three times as often.
LEASE_SECONDS = 6

#: The modules with scenes, each with a list SCENES.
MODULES = (
    *("configuration", "names", "dns", "caa", "http", "account", "order", "limits", "ca"),
    *("volume", "proxy", "redis", "queue", "clock", "renewal", "beside", "healthy"),
)

#: What a command takes from a scene alone.
OURS = ("_APP_", "CERTWORKER_")


@dataclass(frozen=True)
class Scene:
    """
    A broken world, and what is said of it.
    """

    title: str
    #: Empty: all is well, and nothing complains.
    code: str
    build: Callable[[Stage], object]
    #: Stands in the remedy: the record, the variable or the value to change.
    remedy: str = ""
    #: Whether the CA was asked for an order.
    asked: bool = False
    #: When the next look is; None: there is none, as the same job would get the same answer.
    again: timedelta | None = MINUTE
    #: The check without which nobody would notice; empty: it is none of the list's.
    check: str = ""
    #: How it shows: a job that fails, one that is on the queue, a warning of a job that works, a line of the
    #: doctor, one of what is done beside the jobs, the end of a command.
    shows: Literal["job", "queue", "warning", "doctor", "beside", "command"] = "job"
    #: What is done beside the jobs.
    act: Callable[[App], object] = lambda app: app.expiry_alerts.log()

    def __str__(self) -> str:
        return f"{self.code or 'healthy'} · {self.title}"


def played(scenes: Iterable[Scene]) -> pytest.MarkDecorator:
    """
    Plays each of *scenes* as a test of its own.
    """
    return pytest.mark.parametrize("scene", list(scenes), ids=str)


def refused_by_the_ca(
    title: str,
    code: str,
    kind: str,
    fault: Fault,
    remedy: str,
    *,
    asked: bool = True,
    again: timedelta | None = SOON,
) -> Scene:
    """
    A scene in which the CA answers each request of *kind* with *fault*.
    """
    return Scene(
        title, code, lambda stage: stage.ca.fail(kind, fault, times=None), remedy, asked=asked, again=again
    )


def all_scenes() -> list[Scene]:
    """
    Return all scenarios.
    """
    return [
        scene
        for module in MODULES
        for scene in importlib.import_module(f"tests.scenarios.test_{module}").SCENES
    ]


def play(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    Build the world of *scene*, let a job or the doctor meet it, and compare.
    """
    scene.build(stage)
    if scene.shows == "command":
        _commanded(scene, stage)
        return
    app = stage.open() if scene.shows != "doctor" or stage.before else None
    if app is None or scene.shows == "doctor":
        _examined(scene, stage)
        return
    before, caplog_begins = stage.orders(), len(caplog.records)
    told: dict[str, Any] = {}
    with caplog.at_level(logging.INFO, "certworker"):
        if scene.shows == "beside":
            scene.act(app)
        elif scene.shows == "queue":
            _worked(stage, app)
        else:
            told = job(app, stage.name, **stage.arguments)
    lines = [each for each in caplog.records[caplog_begins:] if each.name.startswith("certworker.")]

    assert scene.asked is (stage.orders() > before), told
    if scene.shows in ("beside", "queue"):
        _said(scene, lines[-1])
    elif scene.shows == "warning" or not scene.code:
        _warned(scene, told, lines)
    else:
        _refused(scene, told, lines[-1])
    if scene.shows in ("job", "queue") and scene.code:
        _again(scene, app, stage.name)


def job(app: App, name: str, **arguments: object) -> dict[str, Any]:
    """
    What a job for *name* ends with, be it a failure.
    """
    try:
        return dict(build_tasks(app)["certworker.issue"](domain=name, **arguments))
    except CertworkerError as failure:
        return {"state": "failed", **failure.as_json()}


def tried(name: str) -> Callable[[App], object]:
    """
    A job before the one that counts, whatever becomes of it.
    """

    def act(app: App) -> None:
        with suppress(CertworkerError):
            app.issuance.issue((name,))

    return act


def _refused(scene: Scene, told: dict[str, Any], last: logging.LogRecord) -> None:
    assert scene.code == told.get("code"), told
    assert scene.code == getattr(last, "code", None), last.getMessage()
    assert scene.remedy in told["remedy"]


def _again(scene: Scene, app: App, name: str) -> None:
    record = app.records.read(name)
    moment = app.agenda.next_check(name)
    if scene.again is None:
        assert moment is None
        return
    assert record is not None
    assert moment is not None
    if scene.shows == "queue":
        assert scene.code == record.code
    # Some chance, up to a minute after a limit; and this machine may be slow.
    waits = moment - record.updated
    assert scene.again * 0.9 - SOON <= waits <= scene.again * 1.5 + MINUTE, waits


def _warned(scene: Scene, told: dict[str, Any], lines: list[logging.LogRecord]) -> None:
    assert "issued" == told["state"], told
    warnings = [each for each in lines if each.levelno >= logging.WARNING]
    assert [scene.code] * bool(scene.code) == [getattr(each, "code", "") for each in warnings], warnings
    assert all(scene.remedy in each.getMessage() for each in warnings)


def _said(scene: Scene, last: logging.LogRecord) -> None:
    assert scene.code == getattr(last, "code", None), last.getMessage()
    assert scene.remedy in last.getMessage()


def _worked(stage: Stage, app: App) -> None:
    """
    Let a worker meet the job on the queue, until it is done with it.
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
            lambda: app.connection.hget(stage.job_key, "status") in ended or None,
            lambda: f"the job has not ended: {app.connection.hgetall(stage.job_key)!r}",
        )
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)


def _commanded(scene: Scene, stage: Stage) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    command = [sys.executable, "-m", "certworker", *stage.command]
    ended = subprocess.run(
        command,
        env=inherited | stage.environ() | stage.shell,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    *_, last = (ended.stdout + ended.stderr).splitlines()

    assert 0 != ended.returncode
    assert f"[{scene.code}]" in last
    assert scene.remedy in last


def _examined(scene: Scene, stage: Stage) -> None:
    findings = [each for each in examine(stage.environ(), [stage.name]) if each.code]

    assert 0 == stage.orders() or stage.before
    assert scene.code in [each.code for each in findings], findings
    assert scene.remedy in next(each.remedy for each in findings if each.code == scene.code)
