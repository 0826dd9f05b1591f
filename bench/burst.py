"""
200 names at once.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from statistics import median

from bench import certbot
from bench.figures import Figure, progress
from bench.floor import FloorClient
from bench.responder import Responder
from bench.worlds import pebble, worker

TITLE = "200 names"
NOTE = (
    "200 names: all on the queue at once, four slots, because Pebble deadlocks with more orders in flight; "
    "median of three series, each with a new Pebble. certbot obtains one after the other: at once, it fails "
    "on the lock of its directory."
)

NAMES = 200
SLOTS = 4
SERIES = 3


def measure(place: Path) -> list[Figure]:
    """
    Certificates per second, of certworker and of four bare clients.
    """
    by_certbot = 1 / certbot.seconds()
    ours, bare = [], []
    for number in range(SERIES):
        progress(f"{TITLE}, series {number + 1} of {SERIES}")
        bare.append(_floor(place / f"floor{number}"))
        ours.append(_certworker(place / f"certworker{number}"))
    rate = median(ours)
    return [
        Figure(TITLE, "four bare clients", median(bare), "certificates/s"),
        Figure(TITLE, "certworker", rate, "certificates/s", 25, "above"),
        Figure(TITLE, "certbot", by_certbot, "certificates/s"),
        Figure(TITLE, "certworker", rate / by_certbot, "× as fast as certbot", 40, "above"),
    ]


def _certworker(place: Path) -> float:
    names = [f"burst{number}.bench.test" for number in range(NAMES)]
    with (
        pebble(place / "ca") as ca,
        worker(
            place,
            directory_url=ca.directory_url,
            http_port=ca.http_port,
            slots=SLOTS,
            ca_bundle=ca.ca_bundle,
        ) as certworker,
    ):
        began = time.perf_counter()
        certworker.request(names)
        certworker.wait_for(names)
        return NAMES / (time.perf_counter() - began)


def _floor(place: Path) -> float:
    with ExitStack() as stack:
        ca = stack.enter_context(pebble(place / "ca"))
        responder = stack.enter_context(Responder(ca.http_port))
        clients: SimpleQueue[FloorClient] = SimpleQueue()
        for _ in range(SLOTS):
            client = FloorClient(ca.directory_url, ca.ca_bundle, responder)
            stack.callback(client.close)
            clients.put(client)

        def obtain(number: int) -> None:
            client = clients.get()
            client.obtain(f"burst{number}.bench.test")
            clients.put(client)

        pool = stack.enter_context(ThreadPoolExecutor(SLOTS))
        began = time.perf_counter()
        list(pool.map(obtain, range(NAMES)))
        return NAMES / (time.perf_counter() - began)
