"""
The routes for proxies: a certificate at each handshake, and the configuration for Traefik.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from statistics import median, quantiles

from redis import Redis

from bench.figures import Figure
from bench.web import NAMES, fill
from bench.worlds import redis_server
from certworker.dashboard.sources import Sources
from certworker.settings import HttpAddress, load
from certworker.web.proxies.traefik import MOST_NAMES
from certworker.web.server import WebServer
from tests.app_fixture import environment
from tests.web.application import bearer, create_token, open_application

TITLE = "proxies"
NOTE = (
    "proxies: calls of one proxy over HTTP, one after the other on one connection, each for another name. "
    "The volume has 50,000 names, and 2,000 for Traefik. A process of its own serves them, as `certworker "
    "web` does."
)

CALLS = 1_000


def measure(place: Path) -> list[Figure]:
    """
    Return the milliseconds of the calls.
    """
    with redis_server(place / "redis") as redis, redis.client() as connection:
        return [*_handshakes(place / "many", connection), *_polls(place / "few", connection)]


def _handshakes(place: Path, connection: Redis) -> list[Figure]:
    numbers = count()
    with closing(_Proxy(place, connection, NAMES)) as proxy:

        def call(path: str, status: int) -> Callable[[], None]:
            return lambda: proxy.call(path.format(next(numbers) * 7919 % NAMES), status)

        known = _milliseconds(call("certificate?server_name=shop{:05}.example.org", 200))
        unknown = _milliseconds(call("certificate?server_name=other{:05}.example.org", 204))
        asked = _milliseconds(call("ask?domain=shop{:05}.example.org", 200))
        refused = _milliseconds(call("ask?domain=other{:05}.example.org", 404))
    return [
        Figure(TITLE, f"a certificate of {NAMES:,} names", median(known), "ms", 5),
        Figure(TITLE, "  99 of 100 calls", quantiles(known, n=100)[-1], "ms"),
        Figure(TITLE, "no certificate", median(unknown), "ms", 5),
        Figure(TITLE, "ask for a known name", median(asked), "ms", 5),
        Figure(TITLE, "ask for an unknown name", median(refused), "ms", 5),
    ]


def _polls(place: Path, connection: Redis) -> list[Figure]:
    with closing(_Proxy(place, connection, MOST_NAMES - 1)) as proxy:
        first = _milliseconds(lambda: proxy.call("traefik", 200), 1)
        later = _milliseconds(lambda: proxy.call("traefik", 200), 20)
    return [
        Figure(TITLE, f"Traefik's configuration of {MOST_NAMES:,} names after a change", first[0], "ms"),
        Figure(TITLE, "  without a change", median(later), "ms"),
    ]


class _Proxy:
    """
    A proxy with an open connection to the page of an installation with a number of names.
    """

    def __init__(self, place: Path, connection: Redis, names: int) -> None:
        place.mkdir()
        sources = Sources.of(load(environment(place, "http://localhost:9/directory", 9)), connection)
        fill(sources, names)
        tokens = place / "tokens.json"
        application = open_application(tokens, sources=sources)
        self._headers = {**bearer(create_token(tokens, "proxy")), "Accept-Encoding": "gzip"}
        self._server = WebServer(HttpAddress("127.0.0.1", 0), lambda _: application)
        self._server.start()
        self._connection = HTTPConnection("127.0.0.1", self._server.port)

    def call(self, path: str, status: int) -> None:
        """
        Call *path*, which responds with *status*.
        """
        self._connection.request("GET", f"/proxies/{path}", headers=self._headers)
        response = self._connection.getresponse()
        response.read()
        if response.status != status:
            raise RuntimeError(f"{path}: HTTP {response.status}")

    def close(self) -> None:
        """
        Stop the page.
        """
        self._connection.close()
        self._server.stop()


def _milliseconds(action: Callable[[], None], rounds: int = CALLS) -> list[float]:
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        took.append(1000 * (time.perf_counter() - began))
    return took
