"""
From the request to the first TLS handshake with the new certificate: certworker with Traefik, Traefik's own
resolver, and Caddy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.caddy import INSTALL as INSTALL_CADDY
from bench.caddy import caddy
from bench.figures import Figure, Skipped, progress
from bench.handshake import wait_until_served
from bench.programs import program
from bench.traefik import INSTALL, routes, traefik
from bench.worlds import SLOTS_AT_PEBBLE, pebble, worker
from tests.servers.ports import free_port

TITLE = "until a name is served"
NOTE = (
    "until a name is served: from the request to a TLS handshake with the new certificate. certworker: from "
    "RPUSH; a real Traefik serves the files and forwards the challenges. Traefik's resolver: from the file "
    "with the new router, with EC keys; its default, RSA, takes seconds. Caddy: on-demand TLS, from the "
    "first handshake. They take turns, each with its own Pebble; median of seven. Between two, Traefik gets "
    "2.2 seconds, because it reads its files at most every two seconds. 100 names: all at once; Caddy gets "
    "four handshakes at a time, and limits itself to ten orders in ten seconds."
)

CERTWORKER = "certworker and Traefik"
TRAEFIK = "Traefik's resolver"
CADDY = "Caddy's on-demand TLS"

#: The largest share of the time of another server for one name, and the least multiple of its rate.
LIMITS = {TRAEFIK: (0.4, 3), CADDY: (0.25, 20)}

ROUNDS = 7
#: Longer than the default of Traefik's providers.providersThrottleDuration.
PAUSE_SECONDS = 2.2
MANY = 100

#: Requests certificates for names, and returns when all are served.
Serve = Callable[[Sequence[str]], None]
#: Starts all servers of a client, with their files in a directory.
Server = Callable[[Path], AbstractContextManager[Serve]]


def measure(place: Path) -> list[Figure]:
    """
    Return the milliseconds for one name, and the names per second for 100 names.

    Raises:
        Skipped: There is no Traefik.
    """
    program("traefik", INSTALL)
    servers: dict[str, Server] = {CERTWORKER: _certworker, TRAEFIK: _resolver}
    try:
        program("caddy", INSTALL_CADDY)
        servers[CADDY] = _caddy
    except Skipped as reason:
        progress(f"{TITLE}: without Caddy: {reason}")
    one = _one_by_one(place / "one", servers)
    rates = {
        title: _rate(place / f"many{number}", title, server)
        for number, (title, server) in enumerate(servers.items())
    }
    figures = [Figure(TITLE, f"one name: {title}", 1000 * one[title], "ms") for title in servers]
    figures += [Figure(TITLE, f"{MANY} names: {title}", rates[title], "names/s") for title in servers]
    for title, (longest, least) in LIMITS.items():
        if title in servers:
            ratio, ratio_of_rates = one[CERTWORKER] / one[title], rates[CERTWORKER] / rates[title]
            figures += [
                Figure(TITLE, f"one name, against {title}", ratio, "× as long", longest),
                Figure(TITLE, f"{MANY} names, against {title}", ratio_of_rates, "× as fast", least, "above"),
            ]
    return figures


def _one_by_one(place: Path, servers: dict[str, Server]) -> dict[str, float]:
    took: dict[str, list[float]] = {title: [] for title in servers}
    with ExitStack() as stack:
        running = {
            title: stack.enter_context(server(place / str(number)))
            for number, (title, server) in enumerate(servers.items())
        }
        # The first certificate opens the connection to the CA, and registers the account.
        for number in range(ROUNDS + 1):
            progress(f"{TITLE}: one name, {number} of {ROUNDS}")
            for serve, seconds in zip(running.values(), took.values(), strict=True):
                began = time.perf_counter()
                serve([f"one{number}.bench.test"])
                seconds.append(time.perf_counter() - began)
            time.sleep(PAUSE_SECONDS)
    return {title: median(seconds[1:]) for title, seconds in took.items()}


def _rate(place: Path, title: str, server: Server) -> float:
    progress(f"{TITLE}: {MANY} names, {title}")
    with server(place) as serve:
        serve(["first.bench.test"])
        time.sleep(PAUSE_SECONDS)
        began = time.perf_counter()
        serve([f"many{number}.bench.test" for number in range(MANY)])
        return MANY / (time.perf_counter() - began)


@contextmanager
def _certworker(place: Path) -> Iterator[Serve]:
    http_port = free_port()
    with (
        pebble(place / "ca") as ca,
        traefik(place / "traefik", ca, place / "worker" / "config", resolver=False) as proxy,
    ):
        proxy.write("routes.yml", routes(http_port))
        time.sleep(PAUSE_SECONDS)
        with worker(
            place / "worker",
            directory_url=ca.directory_url,
            http_port=http_port,
            slots=SLOTS_AT_PEBBLE,
            ca_bundle=ca.ca_bundle,
            resolver=ca.resolver,
            more={"CERTWORKER_HTTP01_PORT": str(ca.http_port)},
        ) as running:

            def serve(names: Sequence[str]) -> None:
                running.request(names)
                wait_until_served(proxy.https_port, names)

            yield serve


@contextmanager
def _resolver(place: Path) -> Iterator[Serve]:
    with (
        pebble(place / "ca") as ca,
        traefik(place / "traefik", ca, place / "config", resolver=True) as proxy,
    ):

        def serve(names: Sequence[str]) -> None:
            proxy.route(names)
            wait_until_served(proxy.https_port, names)

        yield serve


@contextmanager
def _caddy(place: Path) -> Iterator[Serve]:
    with (
        pebble(place / "ca") as ca,
        caddy(place / "caddy", ca) as port,
        ThreadPoolExecutor(SLOTS_AT_PEBBLE) as threads,
    ):

        def serve(names: Sequence[str]) -> None:
            list(threads.map(lambda name: wait_until_served(port, [name]), names))

        yield serve
