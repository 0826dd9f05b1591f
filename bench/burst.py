"""
200 names at once.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench import certbot
from bench.figures import Figure, progress
from bench.floor import FloorClient, floor_clients
from bench.worlds import SLOTS_AT_PEBBLE, pebble, worker_at

TITLE = "200 names"
NOTE = (
    "200 names: all on the queue at once, four slots, because Pebble deadlocks with more pending orders; "
    "median of three series, each with a new Pebble. The floor is four minimal clients in one process. "
    "certbot obtains the names in turn, because its directory has a lock."
)

NAMES = [f"burst{number}.bench.test" for number in range(200)]
SERIES = 3


def measure(place: Path) -> list[Figure]:
    """
    Return the certificates per second of certworker and of four minimal clients.
    """
    floor, certworker = [], []
    for number in range(SERIES):
        progress(f"{TITLE}: series {number + 1} of {SERIES}")
        floor.append(_by_floor(place / f"floor{number}"))
        certworker.append(_by_certworker(place / f"certworker{number}"))
    rate, rate_of_certbot = median(certworker), 1 / certbot.seconds()
    return [
        Figure(TITLE, "the floor", median(floor), "certificates/s"),
        Figure(TITLE, "certworker", rate, "certificates/s", 25, "above"),
        Figure(TITLE, "  against certbot", rate / rate_of_certbot, "× as fast", 40, "above"),
        Figure(TITLE, "certbot", rate_of_certbot, "certificates/s"),
    ]


def _by_certworker(place: Path) -> float:
    with pebble(place / "ca") as ca, worker_at(ca, place) as worker:
        began = time.perf_counter()
        worker.request(NAMES)
        worker.wait_for(NAMES, pause_seconds=0.02)
        return len(NAMES) / (time.perf_counter() - began)


def _by_floor(place: Path) -> float:
    with (
        pebble(place / "ca") as ca,
        floor_clients(ca, SLOTS_AT_PEBBLE) as clients,
        ThreadPoolExecutor(SLOTS_AT_PEBBLE) as threads,
    ):
        began = time.perf_counter()
        list(threads.map(_obtain_share, clients, range(len(clients))))
        return len(NAMES) / (time.perf_counter() - began)


def _obtain_share(client: FloorClient, which: int) -> None:
    for name in NAMES[which::SLOTS_AT_PEBBLE]:
        client.obtain(name)
