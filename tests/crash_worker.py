"""
A program that issues or imports certificates. Each runs in a process that gets a signal at a different step.

A step is a request to the CA, a command to Redis, an update of a name server, or a change to a file. The
issuing thread counts its steps, so the program needs no list of steps.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import redis
import requests

from certworker.acme.http_pool import public_context
from certworker.app import App, build_app
from certworker.deadline import Deadline
from certworker.errors import CertworkerError
from certworker.issuance.importing import CertificateImport
from certworker.job_slot import NO_SLOT, running_in
from certworker.own_certificates import Pem
from certworker.redis.client import connect
from certworker.redis.guard import sharing_trips
from certworker.runtime import build_tasks
from certworker.settings import load
from tests.replication.hosts import Mirror

#: The calls that change files.
CHANGES = ("write", "fsync", "rename", "replace", "symlink", "mkdir", "unlink", "rmdir", "chmod", "fchmod")

#: The number of processes at the same time. They mostly wait for the disk and the CA.
AT_ONCE = 12

#: The run of the job of each forced request.
FORCED_RUN = "issue-forced:1"


@dataclass
class Steps:
    """
    A counter of the steps of this thread. It sends a signal to this process before one of them.
    """

    #: The number of the step, from 0. None means no signal.
    signal_at: int | None
    signal: int
    seen: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """
        Count all steps from now on.
        """
        thread = threading.get_ident()

        def counted(step: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def counting(*arguments: Any, **options: Any) -> Any:
                if threading.get_ident() == thread:
                    self._count(step)
                return call(*arguments, **options)

            return counting

        for name in CHANGES:
            setattr(os, name, counted(name, getattr(os, name)))
        connection, adapter = redis.connection.AbstractConnection, requests.adapters.HTTPAdapter
        for owner, name, step in (
            (connection, "send_packed_command", "redis"),
            (adapter, "send", "ca"),
            (Deadline, "connect_to", "connect"),
        ):
            setattr(owner, name, counted(step, getattr(owner, name)))

    def _count(self, step: str) -> None:
        if len(self.seen) == self.signal_at:
            os.kill(os.getpid(), self.signal)
        self.seen.append(step)


def place_of(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return *environ* with separate volumes for *name*, because a stopped process may hold a lock on its own.
    """
    own = {f"CERTWORKER_{volume}_DIR" for volume in ("CERTIFICATES", "CONFIG")}
    for variable in own:
        Path(environ[variable], name).mkdir(exist_ok=True)
    return {key: f"{value}/{name}" if key in own else value for key, value in environ.items()}


def report(event: dict[str, object]) -> None:
    """
    Write *event* as one line, and flush it.
    """
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def issue(app: App, name: str) -> None:
    """
    Issue a certificate for *name*.
    """
    app.issuance.issue((name,))


def import_own(app: App, name: str) -> None:
    """
    Import the certificate in the volume's file `own.pem` for *name*, and put it into service.
    """
    own = (app.certificates.directory / "own.pem").read_bytes()
    own_import = CertificateImport(app.certificates, app.locks, lambda _name, by: str(by), app.clock)
    own_import.run(name, Pem(own, own), by="test", force=True)
    app.issuance.issue((name,))


def force(app: App, name: str) -> None:
    """
    Run the job of a forced request for *name*.
    """
    with running_in(replace(NO_SLOT, run=FORCED_RUN)):
        build_tasks(app)["certworker.issue"](domain=name, force=True)


def follow(app: App, _name: str) -> None:
    """
    Follow the stream of bundles as a mirror, whose volumes are in the directory of the certificates.
    """
    Mirror(app.certificates.directory, app.connection).follow()


#: What the processes do, by its name on the command line.
ACTIONS = {"issue": issue, "import": import_own, "mirror": follow, "force": force}

#: What a process does before it counts its steps.
PREPARATIONS = {"force": issue}


def act(action: str, name: str, steps: Steps, lease_seconds: float) -> int:
    """
    Run *action* for *name*. Return the exit code, which is 0 after an expected failure, too.
    """
    settings = load(place_of(name, os.environ))
    with connect(settings.redis) as connection:
        app = build_app(
            settings,
            connection,
            directory_of=lambda choice: str(choice.directory_url),
            wake=lambda _moment: None,
            lease_seconds=lease_seconds,
        )
        if prepare := PREPARATIONS.get(action):
            prepare(app, name)
        steps.watch()
        try:
            with sharing_trips(connection):
                ACTIONS[action](app, name)
        except CertworkerError as failure:
            report({"name": name, "code": failure.code})
        except Exception:
            traceback.print_exc()
            return 1
    return 0


def main(prefix: str, signal_number: int, lease_seconds: float, action: str) -> None:
    """
    Count the steps of one process. Then run one process for each step, and send the signal at that step.
    """

    def name_of(step: int | None) -> str:
        return f"{prefix}.localhost" if step is None else f"{prefix}{step}.localhost"

    def fork(step: int | None) -> int:
        child = os.fork()
        if child == 0:
            steps = Steps(step, signal_number)
            status = act(action, name_of(step), steps, lease_seconds)
            os.write(writing, str(len(steps.seen)).encode())
            os._exit(status)
        running[child] = step
        return child

    def reap() -> None:
        pid, status = os.waitpid(-1, os.WUNTRACED)
        harmed = os.WIFSTOPPED(status) or os.WIFSIGNALED(status)
        report({"name": name_of(running.pop(pid)), "pid": pid, "harmed": harmed, "status": status})

    # The processes share the parsed roots, which take as long as an issuance.
    public_context()
    running: dict[int, int | None] = {}
    reading, writing = os.pipe()
    os.waitpid(fork(None), 0)
    running.clear()
    for step in range(int(os.read(reading, 9))):
        if len(running) == AT_ONCE:
            reap()
        fork(step)
    while running:
        reap()
    report({"struck": True})
    # A stopped process continues when its id arrives on standard input.
    for line in sys.stdin:
        pid = int(line)
        os.kill(pid, signal.SIGCONT)
        _, status = os.waitpid(pid, 0)
        report({"pid": pid, "status": status})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
