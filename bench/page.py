"""
The time of jobs while visitors read the page of the same worker.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from redis import Redis

from bench.figures import Figure, progress
from bench.worlds import Worker, pebble, worker_at
from certworker.renewal.agenda import Agenda
from certworker.state.domain_records import DomainRecords
from tests.servers.ports import free_port

TITLE = "visitors"
NOTE = (
    "visitors: one warm job at a time, without visitors and with 50 requests per second for the overview, "
    "the search and a name. The worker that runs the jobs answers them. It has 10,000 other names. Rounds "
    "with and without visitors alternate."
)

NAMES = 10_000
REQUESTS_A_SECOND = 50
ROUNDS = 5
JOBS_PER_ROUND = 10


def measure(place: Path) -> list[Figure]:
    """
    Return the median time of a job with visitors, and its ratio to a job without visitors.
    """
    port = free_port()
    quiet: list[float] = []
    visited: list[float] = []
    answered: list[float] = []
    with (
        pebble(place / "ca") as ca,
        worker_at(ca, place / "worker", more={"CERTWORKER_WEB_ADDRESS": f"127.0.0.1:{port}"}) as worker,
    ):
        _add_names(worker.connection)
        command = [sys.executable, "-m", "bench.visitor", "127.0.0.1", str(port), str(REQUESTS_A_SECOND)]
        for number in range(ROUNDS):
            quiet += _seconds(worker, f"quiet{number}")
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as visitors:
                time.sleep(2)  # the first request loads the application, and builds the index
                visited += _seconds(worker, f"visited{number}")
                output, _ = visitors.communicate()
            answered.append(float(output))
    return [
        Figure(TITLE, "pages answered", median(answered), "a second"),
        Figure(TITLE, "a job without visitors", 1000 * median(quiet), "ms"),
        Figure(TITLE, "a job with visitors", 1000 * median(visited), "ms"),
        Figure(TITLE, "  against a job without", median(visited) / median(quiet), "× as long", 1.2),
    ]


def _add_names(connection: Redis) -> None:
    now = datetime.now(UTC)
    later = now + timedelta(days=1)
    names = [f"waiting{number}.bench.test" for number in range(NAMES)]
    DomainRecords(connection).defer([(name,) for name in names], next_check=later, now=now)
    Agenda(connection).put_many(dict.fromkeys(names, later))


def _seconds(worker: Worker, prefix: str) -> list[float]:
    progress(f"{TITLE}: {JOBS_PER_ROUND} jobs, {prefix}")
    took = []
    for number in range(JOBS_PER_ROUND):
        began = time.perf_counter()
        name = f"{prefix}-{number}.bench.test"
        worker.request([name])
        worker.wait_for([name])
        took.append(time.perf_counter() - began)
    return took
