"""
A real redis-server on a free port, which the test run starts and stops.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import redis

from tests.servers.ports import free_port


class RedisServer:
    """
    A redis-server process. A test can kill it and start it again.
    """

    def __init__(self, directory: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server is missing; install it: apt-get install redis-server")
        directory.mkdir(exist_ok=True)
        self.program = program
        self.directory = directory
        self.port = free_port()
        #: The file with the output of Redis, which writes the reason of its end to standard output.
        self.log = directory / "redis.log"
        #: The password that Redis requires.
        self.password: str | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """
        The URL of Redis.
        """
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def listening(self) -> tuple[str, ...]:
        """
        The options of redis-server for its port.
        """
        return ("--port", str(self.port))

    def start(self, *options: str) -> None:
        """
        Start Redis with *options* of redis-server, and wait until it answers.
        """
        command = [self.program, *self.listening, "--bind", "127.0.0.1", "--save", "", *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 20
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except redis.exceptions.ConnectionError:
                    if self.process.poll() is not None:
                        raise RuntimeError(self._why_it_ended()) from None
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)
                else:
                    return

    def kill(self) -> None:
        """
        Kill Redis, as after a crash.
        """
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self) -> redis.Redis:
        """
        Return a new connection.
        """
        return redis.Redis(host="127.0.0.1", port=self.port, password=self.password)

    def _why_it_ended(self) -> str:
        log = self.log.read_text(errors="replace")
        if ">>> 'tls-port" in log:
            return f"{self.program} has no TLS; install one that has: apt-get install redis-server"
        return f"{self.program} ended before it answered:\n{log[-4000:]}"
