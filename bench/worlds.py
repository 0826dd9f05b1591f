"""
The servers of a benchmark, which starts and stops them: Redis, Pebble and the worker.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from certworker.domains.wildcard import file_name
from certworker.worker.producer import request_certificate
from tests.servers.pebble import Pebble
from tests.servers.redis import RedisServer

#: The domain that the worker requests at its start. This order opens its connection to the CA.
OWN_DOMAIN = "own.localhost"

#: The directory that hides packages from the measured processes.
WITHOUT = Path(__file__).with_name("image")

#: The number of slots. More pending orders cause a deadlock in Pebble.
SLOTS_AT_PEBBLE = 4

#: The arguments of Python that run certworker.
PROGRAM = ("-m", "certworker")

#: The pause between two checks for a file. A shorter pause would use processor time of the worker.
PAUSE_SECONDS = 0.001
PATIENCE_SECONDS = 120.0
STOP_SECONDS = 20.0


@contextmanager
def redis_server(directory: Path) -> Iterator[RedisServer]:
    """
    Start a Redis with its files in *directory*.
    """
    directory.mkdir(parents=True)
    server = RedisServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def pebble(directory: Path) -> Iterator[Pebble]:
    """
    Start a new Pebble, because each order slows it down. It does not delay validations or reject nonces.
    """
    server = Pebble(directory)
    try:
        server.start()
        yield server
    finally:
        server.close()


@dataclass(frozen=True)
class Worker:
    """
    A running `certworker work`. The benchmark sends jobs through its queue, and reads results from its
    volume.
    """

    process: subprocess.Popen[bytes]
    directory: Path
    #: The settings of the worker.
    variables: Mapping[str, str]
    connection: Redis

    def request(self, names: Iterable[str]) -> None:
        """
        Put a job for each of *names* on the queue.
        """
        for name in names:
            request_certificate(name, connection=self.connection)

    def wait_for(self, names: Iterable[str], pause_seconds: float = PAUSE_SECONDS) -> None:
        """
        Wait until each of *names* has Traefik's file, with *pause_seconds* between two checks.

        Raises:
            TimeoutError: A file is missing after two minutes, or the worker has ended. The message has its
            log.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        for name in names:
            file = self.directory / "config" / f"{file_name(name)}.yml"
            while not file.exists():
                if time.monotonic() > deadline or self.process.poll() is not None:
                    log = (self.directory / "worker.log").read_text()
                    raise TimeoutError(
                        f"{file.name} is not there; the worker's log ends with:\n{log[-2000:]}"
                    )
                time.sleep(pause_seconds)


@contextmanager
def worker(
    directory: Path,
    *,
    directory_url: str,
    http_port: int,
    slots: int,
    ca_bundle: Path | None = None,
    resolver: str = "",
    http_host: str = "127.0.0.1",
    more: Mapping[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
) -> Iterator[Worker]:
    """
    Start a worker with *slots* slots and its own Redis. Yield it after its domain has a certificate.

    Args:
        directory: The directory of its volumes, its Redis and its log.
        directory_url: The directory URL of the CA.
        http_port: The port from which the CA fetches challenge responses.
        ca_bundle: The root of the CA's TLS certificate.
        resolver: The resolver of the checks, as HOST:PORT. An empty text means the resolver of this machine.
        http_host: The address of its HTTP server.
        more: Additional variables.
        program: The arguments of Python that run certworker.
    """
    with redis_server(directory / "redis") as redis, redis.client() as connection:
        variables = settings(directory, redis.port) | {
            "_APP_DOMAIN": OWN_DOMAIN,
            "_APP_DNS": resolver,
            "CERTWORKER_AUTHORITY": directory_url,
            "CERTWORKER_PRIVATE_NETWORK": "true",
            "CERTWORKER_CA_BUNDLE": str(ca_bundle or ""),
            "CERTWORKER_HTTP_ADDRESS": f"{http_host}:{http_port}",
            "CERTWORKER_HTTP01_PORT": str(http_port),
            "CERTWORKER_CONCURRENCY": str(slots),
            **(more or {}),
        }
        with (directory / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *program, "work"],
                env=environment(variables),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            started = Worker(process, directory, variables, connection)
            started.wait_for([OWN_DOMAIN])
            yield started
        finally:
            stop(process)


def worker_at(
    ca: Pebble,
    directory: Path,
    http_host: str = "127.0.0.1",
    more: Mapping[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
) -> AbstractContextManager[Worker]:
    """
    Start a worker in *directory* that orders from *ca*. Its HTTP server listens at *http_host*.

    Args:
        more: Additional variables.
        program: The arguments of Python that run certworker.
    """
    return worker(
        directory,
        directory_url=ca.directory_url,
        http_port=ca.http_port,
        slots=SLOTS_AT_PEBBLE,
        ca_bundle=ca.ca_bundle,
        resolver=ca.resolver,
        http_host=http_host,
        more=more,
        program=program,
    )


def settings(directory: Path, redis_port: int) -> dict[str, str]:
    """
    Return the variables that each command needs, with volumes in *directory*.
    """
    volumes = {
        f"CERTWORKER_{which.upper()}_DIR": directory / which for which in ("certificates", "config", "state")
    }
    for volume in volumes.values():
        volume.mkdir(parents=True, exist_ok=True)
    redis = {"_APP_REDIS_HOST": "127.0.0.1", "_APP_REDIS_PORT": str(redis_port)}
    return redis | {variable: str(volume) for variable, volume in volumes.items()}


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """
    Return the environment of this process, with *variables* as the only settings of certworker, and without
    the packages that the image does not have.
    """
    # Without its bytecode, which an installation has, a command would compile certworker at each start.
    foreign = ("_APP_", "CERTWORKER_", "PYTHONDONTWRITEBYTECODE")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = os.pathsep.join(filter(None, (str(WITHOUT), os.environ.get("PYTHONPATH"))))
    return own | {"PYTHONPATH": path} | {**variables}


def stop(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """
    End *process* with SIGTERM, or with SIGKILL if it takes too long.
    """
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()
