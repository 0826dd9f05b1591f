"""
A real primary with a replica, and three real Sentinels that monitor them.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import wait_until

SERVICE = "certificates-redis"

#: The time limit of an election on a busy machine.
PATIENCE_SECONDS = 90.0


class Sentinels:
    """
    A primary, its replica, and three Sentinels with a quorum of two.

    Args:
        password: The password of Redis. None means no password.
        sentinel_password: The password of the Sentinels.
    """

    def __init__(
        self, directory: Path, password: str | None = None, sentinel_password: str | None = None
    ) -> None:
        self.servers = [self._redis(_made(directory / name)) for name in ("first", "second")]
        self.ports = [free_port() for _ in range(3)]
        self._directory = directory
        self._password = password
        self._sentinel_password = sentinel_password
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """
        Start all servers, and wait until each Sentinel knows all others.
        """
        try:
            self._start()
        except BaseException:
            self.kill()  # pytest does not finalize a fixture that fails.
            raise

    @property
    def hosts(self) -> str:
        """
        The Sentinels in the format of a URL.
        """
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def primary(self) -> RedisServer:
        """
        The primary that the Sentinels name.
        """
        port = self._state(self.ports[-1])["port"]
        return next(server for server in self.servers if server.port == port)

    def sentinel(self, port: int) -> redis.Redis:
        """
        Return a connection to the Sentinel at *port*.
        """
        return redis.Redis(port=port, password=self._sentinel_password, retry=Retry(NoBackoff(), 0))

    @property
    def url(self) -> str:
        """
        The URL of the primary for a worker.
        """
        asked = f"?sentinel_password={self._sentinel_password}" if self._sentinel_password else ""
        return f"redis+sentinel://:{self._password or ''}@{self.hosts}/{SERVICE}/0{asked}"

    def fail_over(self) -> RedisServer:
        """
        Kill the primary and the first Sentinel. Return the new primary.
        """
        killed = self.primary
        self._end(self.ports[0])
        killed.kill()
        return self._successor_of(killed)

    def hand_over(self) -> RedisServer:
        """
        Promote the replica while the primary runs, as for maintenance. Return the new primary.
        """
        retiring = self.primary
        with self.sentinel(self.ports[-1]) as asked:
            asked.sentinel_failover(SERVICE)
        return self._successor_of(retiring)

    @contextmanager
    def frozen(self) -> Iterator[RedisServer]:
        """
        Freeze the primary, as if its host were gone, until the end of the block. Yield the new primary.
        """
        primary = self.primary
        process = primary.process
        assert process
        process.send_signal(signal.SIGSTOP)
        try:
            yield self._successor_of(primary)
        finally:
            process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """
        Kill all servers.
        """
        for port in list(self._processes):
            self._end(port)
        for server in self.servers:
            server.kill()

    def _redis(self, directory: Path) -> RedisServer:
        return RedisServer(directory)

    def _listening(self, port: int) -> list[str]:
        return [f"port {port}"]

    def _start(self) -> None:
        first, second = self.servers
        asked = ("--requirepass", self._password, "--masterauth", self._password) if self._password else ()
        first.password = second.password = self._password
        first.start(*asked)
        second.start(*asked, "--replicaof", "127.0.0.1", str(first.port))
        for port in self.ports:
            self._start_sentinel(first, port)
        wait_until(
            lambda: all(map(self._complete, self.ports)) or None,
            lambda: f"not all know each other: {[self._state(port) for port in self.ports]}\n{self._logs()}",
            PATIENCE_SECONDS,
        )

    def _successor_of(self, primary: RedisServer) -> RedisServer:
        (other,) = (server for server in self.servers if server is not primary)

        def promoted() -> RedisServer | None:
            with suppress(redis.RedisError), other.client() as client:
                return other if client.info("replication")["role"] == "master" else None
            return None

        return wait_until(promoted, lambda: "nobody was promoted", PATIENCE_SECONDS)

    def _start_sentinel(self, primary: RedisServer, port: int) -> None:
        settings = [
            *self._listening(port),
            "bind 127.0.0.1",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} 2000",
            f"sentinel failover-timeout {SERVICE} 10000",
        ]
        if self._password:
            settings.append(f"sentinel auth-pass {SERVICE} {self._password}")
        if self._sentinel_password:
            settings.append(f"requirepass {self._sentinel_password}")
        place = _made(self._directory / str(port))
        (place / "sentinel.conf").write_text("\n".join([*settings, ""]))
        with (place / "sentinel.log").open("wb") as log:
            self._processes[port] = subprocess.Popen(
                [primary.program, "sentinel.conf", "--sentinel"],
                cwd=place,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _complete(self, port: int) -> bool:
        state = self._state(port)
        return (state.get("num-slaves"), state.get("num-other-sentinels")) == (1, 2)

    def _state(self, port: int) -> dict[str, object]:
        with suppress(redis.ConnectionError), self.sentinel(port) as asked:
            state: dict[str, object] = asked.sentinel_master(SERVICE)
            return state
        return {}

    def _logs(self) -> str:
        files = [self._directory / str(port) / "sentinel.log" for port in self.ports]
        return "\n".join(file.read_text(errors="replace")[-2000:] for file in files)

    def _end(self, port: int) -> None:
        if process := self._processes.pop(port, None):
            process.kill()
            process.wait()


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory
