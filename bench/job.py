"""
One warm job: from the request on the queue to the file that Traefik reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

from bench import certbot, lego
from bench.figures import Figure, progress
from bench.floor import floor_clients
from bench.worlds import Worker, pebble, worker_at
from tests.servers.pebble import Pebble

TITLE = "one warm job"
NOTE = (
    "one warm job: from RPUSH to the YAML file, median of 25. The floor is a minimal client with an open "
    "connection that writes no file. It and certworker take turns, each with its own Pebble. certbot and "
    "lego start for each name, with a registered account: median of three. Requests: seven for the "
    "certificate, and one for its renewal information (RFC 9773), which the floor does not request. Each "
    "poll of an order that is not ready is one more."
)

ROUNDS = 25
WARM_UP = 5


class Contender:
    """
    A client that obtains certificates from *ca*, and the time and the requests for each.
    """

    def __init__(self, obtain: Callable[[str], object], ca: Pebble) -> None:
        self._obtain = obtain
        self._ca = ca
        self._seconds: list[float] = []
        #: The number of requests to the CA before each certificate.
        self._asked: list[int] = []

    def obtain(self, name: str) -> None:
        """
        Obtain a certificate for *name*.
        """
        self._asked.append(len(self._ca.requests()))
        began = time.perf_counter()
        self._obtain(name)
        self._seconds.append(time.perf_counter() - began)

    @property
    def milliseconds(self) -> float:
        """
        The median time in milliseconds, without the first certificates.
        """
        return 1000 * median(self._seconds[WARM_UP:])

    @property
    def requests(self) -> float:
        """
        The median number of requests for a certificate, including later requests.
        """
        return median(after - before for before, after in pairwise(self._asked[WARM_UP:]))


def measure(place: Path) -> list[Figure]:
    """
    Return the figures of the floor, certworker, certbot and lego.
    """
    with (
        pebble(place / "ca-of-floor") as ca_of_floor,
        floor_clients(ca_of_floor, 1) as [client],
        pebble(place / "ca") as ca,
        worker_at(ca, place / "certworker") as worker,
    ):
        floor = Contender(client.obtain, ca_of_floor)
        certworker = Contender(partial(_issue, worker), ca)
        for number in range(WARM_UP + ROUNDS):
            if number % 10 == 0:
                progress(f"{TITLE}: {number} of {WARM_UP + ROUNDS}")
            for contender in (floor, certworker):
                contender.obtain(f"job{number}.bench.test")

    by_certbot, by_lego = 1000 * certbot.seconds(), 1000 * lego.seconds()
    return [
        Figure(TITLE, "the floor", floor.milliseconds, "ms"),
        Figure(TITLE, "  requests to the CA", floor.requests, "a job"),
        Figure(TITLE, "certworker", certworker.milliseconds, "ms"),
        Figure(TITLE, "  requests to the CA", certworker.requests, "a job", 8),
        Figure(TITLE, "  against the floor", certworker.milliseconds / floor.milliseconds, "× as long", 4),
        Figure(TITLE, "  against certbot", by_certbot / certworker.milliseconds, "× as fast", 30, "above"),
        Figure(TITLE, "certbot", by_certbot, "ms"),
        Figure(TITLE, "lego", by_lego, "ms"),
    ]


def _issue(worker: Worker, name: str) -> None:
    worker.request([name])
    worker.wait_for([name])
