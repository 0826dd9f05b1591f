"""
A program that issues one certificate after the other, each in a process of its own that is struck by a
signal at another step.

A step is whatever the world could notice: a request to the CA, a command to Redis, a change of a file. They
are counted as they happen, in the thread that issues; so no list of them has to be kept true.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import requests

from certworker.app import build_app
from certworker.errors import CertworkerError
from certworker.settings import load

#: The calls that change files.
CHANGES = ("write", "fsync", "rename", "replace", "symlink", "mkdir", "unlink", "rmdir", "chmod", "fchmod")

#: So many processes run at a time; they mostly wait for the disk and the CA.
AT_ONCE = 12


@dataclass
class Steps:
    """
    Counts the steps of this thread, and strikes this process before one of them.
    """

    #: From 0; None: never.
    struck_at: int | None
    signal: int
    seen: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """
        See all steps from now on.
        """
        thread = threading.get_ident()

        def observed(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def observing(*arguments: Any, **options: Any) -> Any:
                if threading.get_ident() == thread:
                    self._passed(what)
                return call(*arguments, **options)

            return observing

        for name in CHANGES:
            setattr(os, name, observed(name, getattr(os, name)))
        connection, adapter = redis.connection.AbstractConnection, requests.adapters.HTTPAdapter
        for place, name, what in (
            (connection, "send_packed_command", "redis"),
            (adapter, "send", "ca"),
        ):
            setattr(place, name, observed(what, getattr(place, name)))

    def _passed(self, what: str) -> None:
        if len(self.seen) == self.struck_at:
            os.kill(os.getpid(), self.signal)
        self.seen.append(what)


def place_of(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """
    The variables in *environ*, with volumes of its own for *name*: who is frozen may hold a lock on them.
    """
    own = {f"CERTWORKER_{which}_DIR" for which in ("CERTIFICATES", "CONFIG")}
    for variable in own:
        Path(environ[variable], name).mkdir(exist_ok=True)
    return {key: f"{value}/{name}" if key in own else value for key, value in environ.items()}


def tell(what: dict[str, object]) -> None:
    """
    Say *what* happened on a line of its own, at once.
    """
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def issue(name: str, steps: Steps, lease_seconds: float) -> int:
    """
    Issue for *name*, and return the exit code: 0, also for a failure that has a sentence.
    """
    settings = load(place_of(name, os.environ))
    with redis.Redis(host=settings.redis_host, port=settings.redis_port) as connection:
        app = build_app(
            settings,
            connection,
            directory_of=lambda choice: str(choice.directory_url),
            wake=lambda _moment: None,
            lease_seconds=lease_seconds,
        )
        steps.watch()
        try:
            app.issuance.issue((name,))
        except CertworkerError as failure:
            tell({"name": name, "code": failure.code})
        except Exception:
            traceback.print_exc()
            return 1
    return 0


def main(prefix: str, signal_number: int, lease_seconds: float) -> None:
    """
    Count the steps of an unharmed process, then let one be struck at each of them; tell of each on a line.
    """

    def name_of(step: int | None) -> str:
        return f"{prefix}.localhost" if step is None else f"{prefix}{step}.localhost"

    def fork(step: int | None) -> int:
        child = os.fork()
        if child == 0:
            steps = Steps(step, signal_number)
            status = issue(name_of(step), steps, lease_seconds)
            os.write(writing, str(len(steps.seen)).encode())
            os._exit(status)
        running[child] = step
        return child

    def reap() -> None:
        pid, status = os.waitpid(-1, os.WUNTRACED)
        harmed = os.WIFSTOPPED(status) or os.WIFSIGNALED(status)
        tell({"name": name_of(running.pop(pid)), "pid": pid, "harmed": harmed, "status": status})

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
    tell({"struck": True})
    # Who was stopped goes on when it is told to.
    for line in sys.stdin:
        pid = int(line)
        os.kill(pid, signal.SIGCONT)
        _, status = os.waitpid(pid, 0)
        tell({"pid": pid, "status": status})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
