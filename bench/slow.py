"""
The time of a job while other connections send one byte per second to the HTTP port.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench.figures import Figure, progress
from bench.worlds import pebble, worker_at
from tests.servers.trickle import trickling

TITLE = "slow connections"
NOTE = (
    "slow connections: they fill the HTTP port of the worker, send one byte per second, and reconnect after "
    "each close. The figure is the time of the slowest of the consecutive jobs."
)

CONNECTIONS = 780
JOBS = 20


def measure(place: Path) -> list[Figure]:
    """
    Return the time of the slowest job.
    """
    with pebble(place / "ca") as ca, worker_at(ca, place / "worker") as worker:
        progress(f"{TITLE}: {JOBS} jobs")
        took = []
        with trickling("127.0.0.1", ca.http_port, CONNECTIONS):
            for number in range(JOBS):
                began = time.perf_counter()
                worker.request([name := f"slow{number}.bench.test"])
                worker.wait_for([name])
                took.append(time.perf_counter() - began)
                time.sleep(1)
    return [Figure(TITLE, f"a job beside {CONNECTIONS}", max(took), "s", 1.0)]
