"""
One warm job: from the request on the queue to the file that Traefik reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from bench import certbot, lego
from bench.figures import Figure, progress
from bench.floor import FloorClient
from bench.responder import Responder
from bench.worlds import Worker, pebble, worker

TITLE = "one warm job"
NOTE = (
    "one warm job: from RPUSH to the YAML in place, median; the floor and certworker take turns, each at a "
    "Pebble of its own. The floor is a bare client with a warm connection that writes no file. certbot and "
    "lego are processes that start anew each time, with an account; the median of three."
)

ROUNDS = 25
WARM_UP = 5


def measure(place: Path) -> list[Figure]:
    """
    The floor, certworker, certbot and lego side by side.
    """
    by_certbot, by_lego = certbot.seconds(), lego.seconds()
    with ExitStack() as stack:
        ca_of_floor = stack.enter_context(pebble(place / "floor"))
        responder = stack.enter_context(Responder(ca_of_floor.http_port))
        floor = FloorClient(ca_of_floor.directory_url, ca_of_floor.ca_bundle, responder)
        stack.callback(floor.close)
        ca = stack.enter_context(pebble(place / "ca"))
        certworker = stack.enter_context(
            worker(
                place / "certworker",
                directory_url=ca.directory_url,
                http_port=ca.http_port,
                slots=4,
                ca_bundle=ca.ca_bundle,
            )
        )
        by_floor, by_certworker = [], []
        before = 0, 0
        for number in range(WARM_UP + ROUNDS):
            if number == WARM_UP:
                before = len(ca_of_floor.requests()), len(ca.requests())
            name = f"job{number}.bench.test"
            by_floor.append(_timed(partial(floor.obtain, name)))
            by_certworker.append(_timed(partial(_issue, certworker, name)))
            progress(f"{TITLE}, {number + 1} of {WARM_UP + ROUNDS}")
        asked = (
            (len(ca_of_floor.requests()) - before[0]) / ROUNDS,
            (len(ca.requests()) - before[1]) / ROUNDS,
        )
    the_floor, ours = median(by_floor[WARM_UP:]), median(by_certworker[WARM_UP:])
    return [
        Figure(TITLE, "the floor", 1000 * the_floor, "ms"),
        Figure(TITLE, "certworker", 1000 * ours, "ms"),
        Figure(TITLE, "lego", 1000 * by_lego, "ms"),
        Figure(TITLE, "certbot", 1000 * by_certbot, "ms"),
        Figure(TITLE, "certworker", ours / the_floor, "× the floor", 4),
        Figure(TITLE, "certworker", by_certbot / ours, "× faster than certbot", 30, "above"),
        Figure(TITLE, "certworker, requests to the CA", asked[1], "a job", 8),
        Figure(TITLE, "the floor, requests to the CA", asked[0], "a job"),
    ]


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _issue(certworker: Worker, name: str) -> None:
    certworker.request([name])
    certworker.wait_for([name])
