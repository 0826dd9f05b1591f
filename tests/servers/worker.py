"""
A worker process, `certworker work`, which a test can stop and kill.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.app_fixture import environment
from tests.servers.forked import Forked, start
from tests.servers.ports import free_port

PATIENCE_SECONDS = 60.0

Found = TypeVar("Found")


class WorkerProcess:
    """
    `certworker work` with *environment*.
    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("_APP_", "CERTWORKER_"))
        }
        self.environment = {**inherited, **environment}
        self.http_port = int(environment["CERTWORKER_HTTP_ADDRESS"].rpartition(":")[2])
        self.log_file = log
        self.process: Forked | subprocess.Popen[bytes] | None = None
        #: The module and its arguments. Some tests replace it with one that has shorter leases than
        #: production.
        self.program = ["certworker", "work"]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def log(self) -> str:
        """
        The log lines so far.
        """
        return self.log_file.read_text()

    def start(self) -> None:
        """
        Start the worker, and return immediately.
        """
        self.log_file.touch()
        module, *arguments = self.program
        self.process = start(module, arguments, self.environment, stdout=self.log_file, stderr=self.log_file)

    def terminate(self, seconds: float = PATIENCE_SECONDS) -> int:
        """
        Send SIGTERM, and return the exit code. The worker has *seconds* to end.
        """
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def kill(self) -> None:
        """
        Kill the worker, as after a crash.
        """
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """
        Run another certworker command with the same settings.
        """
        return run_command(*arguments, environment=self.environment)

    def explained(self, text: str, *arguments: str) -> str:
        """
        Return the output of `certworker explain` as soon as it has *text*. The worker writes it later.
        """

        def found() -> str | None:
            shown = self.command("explain", *arguments).stdout
            return shown if text in shown else None

        return wait_until(found, lambda: f"{text!r} is not in the history:\n{self.log}")

    def get(self, path: str, seconds: float = 5) -> tuple[int, str]:
        """
        Return the status and the body of *path* at the HTTP port of the worker, which answers in *seconds*.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=seconds)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def wait_for_line(self, pattern: str) -> str:
        """
        Wait for the first log line with *pattern*, and return it. Without such a line, fail with the log.
        """
        return wait_until(lambda: self._line(pattern), lambda: f"no line with {pattern!r} in:\n{self.log}")

    def _line(self, pattern: str) -> str | None:
        return next((line for line in self.log.splitlines() if re.search(pattern, line)), None)


def run_command(
    *arguments: str, environment: Mapping[str, str], seconds: float = PATIENCE_SECONDS
) -> subprocess.CompletedProcess[str]:
    """
    Run `certworker` with *arguments* for at most *seconds*.
    """
    with tempfile.TemporaryDirectory() as place:
        output = {stream: Path(place, stream) for stream in ("stdout", "stderr")}
        process = start("certworker", arguments, environment, **output)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            arguments, code, **{stream: file.read_text() for stream, file in output.items()}
        )


@contextmanager
def two_workers(
    place: Path, directory_url: str, *, redis_port: int, webroot: Path, http01_port: int
) -> Iterator[list[WorkerProcess]]:
    """
    Start two workers with one volume in *place*. The CA finds the responses of both in *webroot*.
    """
    with ExitStack() as stack:
        workers = []
        for number in range(2):
            variables = environment(
                place,
                directory_url,
                free_port(),
                _APP_REDIS_HOST="127.0.0.1",
                _APP_REDIS_PORT=str(redis_port),
                CERTWORKER_WEBROOT=str(webroot),
                CERTWORKER_HTTP01_PORT=str(http01_port),
                CERTWORKER_CONCURRENCY="4",
            )
            worker = WorkerProcess(variables, place / f"worker{number}.log")
            workers.append(stack.enter_context(worker))
        yield workers


def wait_until(
    found: Callable[[], Found | None],
    complaint: Callable[[], str],
    seconds: float = PATIENCE_SECONDS,
    *,
    pause_seconds: float = 0.02,
) -> Found:
    """
    Wait until *found* does not return None, and return its value. Fail with *complaint* after *seconds*.
    """
    deadline = time.monotonic() + seconds
    while True:
        if (result := found()) is not None:
            return result
        assert time.monotonic() < deadline, complaint()
        time.sleep(pause_seconds)
