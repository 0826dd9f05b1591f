"""
A complete worker whose Redis gets hostile values. No loop ends, and other names get their certificates.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import RedisError

from certworker.devca.authority import DevelopmentAuthority
from certworker.redis.keys import KINDS
from certworker.state.schema import KEY
from certworker.state.wake_ups import SCHEDULED_KEY
from certworker.worker.producer import QUEUE_KEY
from tests.app_fixture import environment
from tests.fuzz.conftest import SHARE
from tests.fuzz.test_redis import Value, keys, values
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until

NEIGHBOR = "neighbor.localhost"

#: The timeout. An attack may write a lock like that of another worker, and a pause after failures.
PATIENCE_SECONDS = 120

#: A key of each kind, except the version. A plausible version of a newer worker stops all others by design.
EXAMPLES = [kind.pattern for kind in KINDS if kind.pattern != KEY]


class Attack:
    """
    An attack that writes hostile values to a worker's Redis.
    """

    def __init__(self, server: RedisServer) -> None:
        self.connection = server.client()

    def overwrite(self, number: int, value: Value) -> None:
        """
        Replace a key of the worker, or write a key that it may use.
        """
        used = [key.decode("utf-8", "replace") for key in self.connection.scan_iter(count=1_000)]
        candidates = [*EXAMPLES, *sorted(key for key in used if key != KEY)]
        # The worker may write the key between two commands of the attack.
        with suppress(RedisError):
            value.write(self.connection, candidates[number % len(candidates)])

    def enqueue(self, job: bytes, fields: Value) -> None:
        """
        Put a job on the queue and into the scheduler's registry.
        """
        with suppress(RedisError):
            fields.write(self.connection, "rq:job:hostile")
        for member in (job, b"hostile"):
            with suppress(RedisError):
                self.connection.rpush(QUEUE_KEY, member)
            with suppress(RedisError):
                self.connection.zadd(SCHEDULED_KEY, {member: 0})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """
    Start a Redis for only the worker.
    """
    started = RedisServer(tmp_path / "redis")
    started.start()
    yield started
    started.kill()


@pytest.fixture
def worker(
    tmp_path: Path, server: RedisServer, app_authority: DevelopmentAuthority, http_port: int
) -> Iterator[WorkerProcess]:
    """
    Start a worker with the loops that need no other server. Yield it with one certificate.
    """
    variables = environment(
        tmp_path,
        app_authority.directory_url,
        http_port,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(server.port),
        _APP_DOMAIN="main.localhost",
        CERTWORKER_APPWRITE="on",
        CERTWORKER_NOTIFY_URL=f"http://127.0.0.1:{free_port()}/",
    )
    with WorkerProcess(variables, tmp_path / "worker.log") as process:
        process.wait_for_line("main.localhost: certificate issued")
        yield process


def loops(worker: WorkerProcess) -> set[str]:
    """
    Return the loops with a heartbeat, from the metrics of *worker*.
    """
    return {
        line.partition('loop="')[2].partition('"')[0]
        for line in worker.get("/metrics")[1].splitlines()
        if line.startswith("certworker_loop_stalled{")
    }


def test_no_loop_ends(request: pytest.FixtureRequest, server: RedisServer, worker: WorkerProcess) -> None:
    """
    After the attack, all loops have a heartbeat, and the worker is healthy and issues for another name.
    """
    attack = Attack(server)
    wait_until(lambda: worker.get("/healthz")[0] == 200 or None, lambda: worker.log)
    before = loops(worker)

    @settings(max_examples=20)
    @given(number=st.integers(0, 10_000), value=keys, job=values, fields=keys)
    def strike(number: int, value: Value, job: bytes, fields: Value) -> None:
        attack.overwrite(number, value)
        attack.enqueue(job, fields)

    end = time.monotonic() + request.node.stash[SHARE]
    while time.monotonic() < end:
        strike()

    def healthy() -> bool | None:
        status, body = worker.get("/healthz")
        return (status == 200 and json.loads(body)["stalled"] == []) or None

    wait_until(healthy, lambda: worker.log[-5_000:], PATIENCE_SECONDS)
    requested = worker.command("request", NEIGHBOR)
    assert 0 == requested.returncode, requested.stderr
    wait_until(
        lambda: f" {NEIGHBOR}: certificate issued" in worker.log or None,
        lambda: worker.log[-5_000:],
        PATIENCE_SECONDS,
    )

    assert before == loops(worker)
    assert "worker.unexpected" not in worker.log
    assert "Traceback" not in worker.log
    assert 0 == worker.terminate()
