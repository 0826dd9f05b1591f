"""
One warm job: from the request on the queue to the file that Traefik reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from bench import certbot, lego
from bench.figures import Figure, progress
from bench.floor import floor_clients
from bench.round_trips import all_in
from bench.worlds import Worker, pebble, worker_at
from tests.servers.pebble import Pebble

TITLE = "one warm job"
NOTE = (
    "one warm job: from RPUSH to the YAML file, median of 100. The floor is a minimal client with an open "
    "connection that writes no file. It and certworker take turns, each with its own Pebble. certbot and "
    "lego start for each name, with a registered account: median of three. Requests: six or seven for the "
    "certificate, and one for its renewal information (RFC 9773), which the floor does not request. Each "
    "poll of an order that is not ready is one more. A percentile against a median shows the noise."
)

#: The subject of the figure that shows the noise of the machine.
SPREAD = "the 95th percentile of the floor"

ROUNDS = 100
WARM_UP = 10
SLOWEST_SHARE = 0.05

#: The time in which a client sends no request after the last one for a certificate.
QUIET_SECONDS = 0.03
#: The longest time until the request for the renewal information.
LATE_SECONDS = 2.0


class Contender:
    """
    A client that obtains certificates from *ca* with at least *requests* each, and the time for each.
    """

    def __init__(self, obtain: Callable[[str], object], ca: Pebble, requests: int) -> None:
        self._obtain = obtain
        self._ca = ca
        self._expected = requests
        self._seconds: list[float] = []
        self._requests: list[int] = []

    def obtain(self, name: str) -> None:
        """
        Obtain a certificate for *name*, and wait for the requests after it.
        """
        before = len(self._ca.requests())
        began = time.perf_counter()
        self._obtain(name)
        self._seconds.append(time.perf_counter() - began)
        deadline = time.monotonic() + LATE_SECONDS
        known, after = -1, len(self._ca.requests())
        while after > known or (after - before < self._expected and time.monotonic() < deadline):
            time.sleep(QUIET_SECONDS)
            known, after = after, len(self._ca.requests())
        self._requests.append(after - before)

    @property
    def milliseconds(self) -> float:
        """
        The median time in milliseconds, without the first certificates.
        """
        return 1000 * median(self._warm)

    @property
    def spread(self) -> float:
        """
        The 95th percentile of the times against the median.
        """
        return sorted(self._warm)[-1 - int(SLOWEST_SHARE * ROUNDS)] / median(self._warm)

    @property
    def requests(self) -> Sequence[int]:
        """
        The number of requests for each certificate, including later requests.
        """
        return self._requests[WARM_UP:]

    @property
    def _warm(self) -> Sequence[float]:
        return self._seconds[WARM_UP:]


def measure(place: Path) -> list[Figure]:
    """
    Return the figures of the floor, certworker, certbot and lego.
    """
    trips = place / "trips"
    with (
        pebble(place / "ca-of-floor") as ca_of_floor,
        floor_clients(ca_of_floor, 1) as [client],
        pebble(place / "ca") as ca,
        worker_at(ca, place / "certworker", program=("-m", "bench.round_trips", str(trips))) as worker,
    ):
        floor = Contender(client.obtain, ca_of_floor, 7)
        certworker = Contender(partial(_issue, worker), ca, 7)
        for number in range(WARM_UP + ROUNDS):
            if number % 10 == 0:
                progress(f"{TITLE}: {number} of {WARM_UP + ROUNDS}")
            if number == WARM_UP:
                trips_before = len(all_in(trips))
            for contender in (floor, certworker):
                contender.obtain(f"job{number}.bench.test")
        trips_of_job = (len(all_in(trips)) - trips_before) / ROUNDS

    by_certbot, by_lego = 1000 * certbot.seconds(), 1000 * lego.seconds()
    ratio, requests = certworker.milliseconds / floor.milliseconds, certworker.requests
    return [
        Figure(TITLE, "the floor", floor.milliseconds, "ms"),
        Figure(TITLE, f"  {SPREAD}", floor.spread, "× its median"),
        Figure(TITLE, "  requests to the CA by the floor", median(floor.requests), "a job"),
        Figure(TITLE, "certworker", certworker.milliseconds, "ms"),
        Figure(TITLE, "  against the floor", ratio, "× as long", 2.0),
        Figure(TITLE, "  the 95th percentile", certworker.spread, "× its median", 1.5),
        Figure(TITLE, "  requests to the CA, the fewest", min(requests), "in a job", 7, "above"),
        Figure(TITLE, "  requests to the CA, the most", max(requests), "in a job", 8),
        Figure(TITLE, "  round trips to Redis, of the whole worker", trips_of_job, "a job", 12),
        Figure(TITLE, "  against certbot", by_certbot / certworker.milliseconds, "× as fast", 30, "above"),
        Figure(TITLE, certbot.TITLE, by_certbot, "ms"),
        Figure(TITLE, lego.TITLE, by_lego, "ms"),
    ]


def _issue(worker: Worker, name: str) -> None:
    worker.request([name])
    worker.wait_for([name])
