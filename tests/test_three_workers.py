"""
Three workers with one Redis and one volume issue each certificate once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from certworker.app import App
from certworker.observability.history import History, HistoryEntry
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import CertificateMetadata
from certworker.traefik.reload_interval import LEAST_SECONDS
from certworker.worker.producer import QUEUE_KEY
from tests.app_fixture import environment
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until

NAMES = [f"shop{number}.tenant{number % 7}.localhost" for number in range(500)]

#: The time limit on two cores, beside other tests.
LONGEST_SECONDS = 300.0


@pytest.fixture
def workers(
    tmp_path: Path, own_redis: RedisServer, app_authority: FaultyAuthority, http_port: int
) -> Iterator[list[WorkerProcess]]:
    """
    Start three workers. The CA validates at the first worker, even if another worker placed the order.
    """
    with ExitStack() as stack:
        processes = []
        for number in range(3):
            variables = environment(
                tmp_path,
                app_authority.directory_url,
                http_port,
                _APP_REDIS_HOST="127.0.0.1",
                _APP_REDIS_PORT=str(own_redis.port),
                CERTWORKER_CONCURRENCY="4",
            )
            port = http_port if number == 0 else free_port()
            variables["CERTWORKER_HTTP_ADDRESS"] = f"127.0.0.1:{port}"
            process = WorkerProcess(variables, tmp_path / f"worker{number}.log")
            processes.append(stack.enter_context(process))
        yield processes


def push(connection: Redis, names: list[str]) -> None:
    """
    Enqueue a job for each of *names*. Each job has its own id.
    """
    with connection.pipeline(transaction=False) as pipeline:
        for number, name in enumerate(names):
            pipeline.hset(
                f"rq:job:{number}", "data", json.dumps(["certworker.issue", None, [], {"domain": name}])
            )
            pipeline.rpush(QUEUE_KEY, str(number))
        pipeline.execute()


def left(connection: Any, count: int) -> int:
    """
    Return the number of the first *count* jobs that have not ended.
    """
    with connection.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.hget(f"rq:job:{number}", "status")
        return sum(status != b"finished" for status in pipeline.execute())


@dataclass(frozen=True)
class Tally:
    """
    The certificates of a name at the CA and on the volume.
    """

    #: The numbers of orders and finalizations at the CA.
    orders: int
    finalizations: int
    #: The serial numbers that the CA signed, those of the generations on the volume, and those in service.
    signed: tuple[int, ...]
    stored: tuple[int, ...]
    served: tuple[int, ...]

    @property
    def is_single(self) -> bool:
        """
        Return whether each has exactly one entry, and all serial numbers are the same.
        """
        counts = self.orders, self.finalizations, len(self.signed)
        return counts == (1, 1, 1) and self.signed == self.stored == self.served


def tallies(authority: FaultyAuthority, place: Path) -> dict[str, Tally]:
    """
    Return the certificates of each name at the CA and on the volume in *place*.
    """
    asked = Counter((each.kind, name) for each in authority.requests for name in each.names)
    volume, signed = CertificateStore(place / "certificates"), authority.serials
    stored: dict[str, list[int]] = {}
    for directory in volume.links.complete_generations():
        metadata = CertificateMetadata.read(directory)
        for name in metadata.names if metadata else ():
            stored.setdefault(name, []).append(int(metadata.serial, 16) if metadata else 0)
    served = {name: volume.metadata(name) for name in signed}
    return {
        name: Tally(
            asked["newOrder", name],
            asked["finalize", name],
            tuple(serials),
            tuple(stored.get(name, ())),
            tuple(int(metadata.serial, 16) for metadata in [served[name]] if metadata),
        )
        for name, serials in signed.items()
    }


def report(
    names: Iterable[str],
    authority: FaultyAuthority,
    place: Path,
    connection: Redis,
    workers: list[WorkerProcess],
) -> str:
    """
    Return the differences for each name, with its history and its log lines of all *workers*.
    """
    found, stories, lines = tallies(authority, place), History(connection), []
    for name in sorted(names):
        lines += [f"{name}: {found.get(name)}"]
        lines += [f"  {event.moment:%H:%M:%S} {event.level} {event.text}" for event in stories.read(name)]
        for number, worker in enumerate(workers):
            lines += [f"  worker {number}: {line}" for line in worker.log.splitlines() if f" {name}:" in line]
    return "\n".join(lines)


@pytest.mark.timeout(LONGEST_SECONDS + 60)
class TestThreeWorkers:
    def test_each_name_is_issued_once(
        self,
        workers: list[WorkerProcess],
        own_redis: RedisServer,
        app_authority: FaultyAuthority,
        tmp_path: Path,
    ) -> None:
        """
        Three workers issue one certificate for each of 500 names. One third of the names have two requests.
        """
        for worker in workers:
            worker.wait_for_line("ready")
        config, jobs = tmp_path / "config", NAMES + NAMES[::3]
        changed = set[int]()

        def served() -> bool | None:
            changed.add(config.stat().st_mtime_ns)
            return len(list(config.glob("shop*.yml"))) == len(NAMES) or None

        def logs() -> str:
            return "\n".join(worker.log[-2000:] for worker in workers)

        with own_redis.client() as connection:
            push(connection, jobs)
            wait_until(served, logs, LONGEST_SECONDS)
            # The second job for a name may be the last job to end.
            wait_until(lambda: left(connection, len(jobs)) == 0 or None, logs, LONGEST_SECONDS)
            differing = set(NAMES) - {
                name for name, found in tallies(app_authority, tmp_path).items() if found.is_single
            }
            assert not differing, report(differing, app_authority, tmp_path, connection, workers)
        assert min(worker.log.count(": certificate issued ") for worker in workers) > 0

        # Traefik reads its directory again after each burst of changes.
        bursts = [now for before, now in pairwise([0, *sorted(changed)]) if now - before > 500_000_000]
        assert len(bursts) <= 5 + (max(changed) - min(changed)) / 1e9 / LEAST_SECONDS


def test_a_second_order_is_reported_with_the_history(
    app: App, app_authority: FaultyAuthority, tmp_path: Path, connection: Redis
) -> None:
    """
    The report contains a name with two orders and two stored certificates.
    """
    once, twice = NAMES[:2]
    for name, force in ((once, False), (twice, False), (twice, True)):
        app.issuance.issue((name,), force=force)
    app.history.append(twice, HistoryEntry(datetime.now(UTC), "INFO", "certificate issued duration_s=2.0"))
    app.history.flush()

    found = tallies(app_authority, tmp_path)
    assert (True, False) == (found[once].is_single, found[twice].is_single)
    assert (2, 2, 2, 2, 1) == (found[twice].orders, found[twice].finalizations, *lengths(found[twice]))
    assert "certificate issued duration_s=2.0" in report([twice], app_authority, tmp_path, connection, [])


def lengths(tally: Tally) -> tuple[int, int, int]:
    """
    Return the numbers of signed, stored and served certificates.
    """
    return len(tally.signed), len(tally.stored), len(tally.served)
