"""
200 names at once.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import certbot
from bench.figures import Figure, progress
from bench.floor import FloorClient, floor_clients
from bench.processes import tree_cpu_seconds
from bench.worlds import SLOTS_AT_PEBBLE, pebble, worker_at

TITLE = "200 names"
NOTE = (
    "200 names: all on the queue at once, four slots, because Pebble deadlocks with more pending orders; "
    "median of three series, each with a new Pebble. The floor is four minimal clients in one process, "
    "which includes their web server. The processor time is that of the clients, without Redis and the CA. "
    "certbot obtains the names in turn, because its directory has a lock."
)

NAMES = [f"burst{number}.bench.test" for number in range(200)]
SERIES = 3


@dataclass(frozen=True)
class Series:
    """
    All names by one client.
    """

    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """
        The certificates per second.
        """
        return len(NAMES) / self.seconds

    @property
    def cpu_milliseconds(self) -> float:
        """
        The processor time of one certificate.
        """
        return 1000 * self.cpu_seconds / len(NAMES)


def measure(place: Path) -> list[Figure]:
    """
    Return the certificates per second, and the processor time, of certworker and of four minimal clients.
    """
    floor, certworker = [], []
    for number in range(SERIES):
        progress(f"{TITLE}: series {number + 1} of {SERIES}")
        floor.append(_by_floor(place / f"floor{number}"))
        certworker.append(_by_certworker(place / f"certworker{number}"))
    pairs = list(zip(certworker, floor, strict=True))
    ratio = median(ours.rate / bare.rate for ours, bare in pairs)
    ratio_of_cpu = median(ours.cpu_seconds / bare.cpu_seconds for ours, bare in pairs)
    rate, rate_of_certbot = median(each.rate for each in certworker), 1 / certbot.seconds()
    cpu, cpu_of_floor = (median(each.cpu_milliseconds for each in series) for series in (certworker, floor))
    return [
        Figure(TITLE, "the floor", median(each.rate for each in floor), "certificates/s"),
        Figure(TITLE, "  processor time of the floor", cpu_of_floor, "ms a certificate"),
        Figure(TITLE, "certworker", rate, "certificates/s"),
        Figure(TITLE, "  against the floor", ratio, "× as fast", 0.65, "above"),
        Figure(TITLE, "  processor time", cpu, "ms a certificate"),
        Figure(TITLE, "  processor time against the floor", ratio_of_cpu, "× as much", 1.3),
        Figure(TITLE, "  against certbot", rate / rate_of_certbot, "× as fast", 40, "above"),
        Figure(TITLE, certbot.TITLE, rate_of_certbot, "certificates/s"),
    ]


def _by_certworker(place: Path) -> Series:
    with pebble(place / "ca") as ca, worker_at(ca, place) as worker:
        before, began = tree_cpu_seconds(worker.process.pid), time.perf_counter()
        worker.request(NAMES)
        worker.wait_for(NAMES, pause_seconds=0.02)
        return Series(time.perf_counter() - began, tree_cpu_seconds(worker.process.pid) - before)


def _by_floor(place: Path) -> Series:
    with (
        pebble(place / "ca") as ca,
        floor_clients(ca, SLOTS_AT_PEBBLE) as clients,
        ThreadPoolExecutor(SLOTS_AT_PEBBLE) as threads,
    ):
        before, began = time.process_time(), time.perf_counter()
        list(threads.map(_obtain_share, clients, range(len(clients))))
        return Series(time.perf_counter() - began, time.process_time() - before)


def _obtain_share(client: FloorClient, which: int) -> None:
    for name in NAMES[which::SLOTS_AT_PEBBLE]:
        client.obtain(name)
