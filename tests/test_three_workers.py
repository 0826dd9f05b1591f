"""
Three workers with one Redis and one volume: many hands, one truth.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from redis import Redis

from certworker.development.authority import DevelopmentAuthority
from certworker.intake.queue import QUEUE_KEY
from certworker.serving.publication import PAUSE_SECONDS
from tests.houses import environment
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until

NAMES = [f"shop{number}.tenant{number % 7}.localhost" for number in range(500)]

#: On two cores, beside other tests.
LONGEST_SECONDS = 300.0


@pytest.fixture
def workers(
    tmp_path: Path, own_redis: RedisServer, door_authority: DevelopmentAuthority, http_port: int
) -> Iterator[list[WorkerProcess]]:
    """
    Three workers; the CA knocks at the door of the first, whoever ordered.
    """
    with ExitStack() as stack:
        processes = []
        for number in range(3):
            variables = environment(
                tmp_path,
                door_authority.directory_url,
                http_port,
                _APP_REDIS_HOST="127.0.0.1",
                _APP_REDIS_PORT=str(own_redis.port),
                CERTWORKER_CONCURRENCY="4",
            )
            door = http_port if number == 0 else free_port()
            variables["CERTWORKER_HTTP_ADDRESS"] = f"127.0.0.1:{door}"
            process = WorkerProcess(variables, tmp_path / f"worker{number}.log")
            processes.append(stack.enter_context(process))
        yield processes


def push(connection: Redis, names: list[str]) -> None:
    """
    Put a job for each of *names* on the queue, each with an id of its own.
    """
    with connection.pipeline(transaction=False) as pipeline:
        for number, name in enumerate(names):
            pipeline.hset(
                f"rq:job:{number}", "data", json.dumps(["certworker.issue", None, [], {"domain": name}])
            )
            pipeline.rpush(QUEUE_KEY, str(number))
        pipeline.execute()


@pytest.mark.timeout(LONGEST_SECONDS + 60)
class TestThreeWorkers:
    def test_each_name_is_issued_once(
        self,
        workers: list[WorkerProcess],
        own_redis: RedisServer,
        door_authority: DevelopmentAuthority,
        tmp_path: Path,
    ) -> None:
        """
        Five hundred names, every third of them asked for twice; the CA's log is the judge.
        """
        for worker in workers:
            worker.wait_for_line("ready")
        config = tmp_path / "config"
        with own_redis.client() as connection:
            push(connection, NAMES + NAMES[::3])
        changed = set[int]()

        def served() -> bool | None:
            changed.add(config.stat().st_mtime_ns)
            return len(list(config.glob("shop*.yml"))) == len(NAMES) or None

        wait_until(served, lambda: "\n".join(worker.log[-2000:] for worker in workers), LONGEST_SECONDS)
        time.sleep(1)

        ordered = Counter(
            name for asked in door_authority.requests if asked.kind == "finalize" for name in asked.names
        )
        done = [worker.log.count(": DONE in") for worker in workers]
        assert dict.fromkeys(NAMES, 1) == {name: ordered[name] for name in NAMES}
        assert min(done) > 0

        # Traefik reads all of it again after each burst of changes.
        bursts = [now for before, now in pairwise([0, *sorted(changed)]) if now - before > 500_000_000]
        assert len(bursts) <= 5 + (max(changed) - min(changed)) / 1e9 / PAUSE_SECONDS
