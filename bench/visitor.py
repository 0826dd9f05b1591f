"""
`python -m bench.visitor HOST PORT REQUESTS_A_SECOND`: read the page until standard input ends.

Several visitors share the rate. At the end the program prints the number of pages per second.
"""

from __future__ import annotations

import http.client
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from threading import Event

PATHS = ("/", "/names?sort=name", "/names?text=waiting99", "/names/waiting1.bench.test")
VISITORS = 10


def main(host: str, port: int, requests_a_second: int) -> None:
    """
    Read the page with all visitors.
    """
    stopped, began = Event(), time.monotonic()
    pause = VISITORS / requests_a_second
    with ThreadPoolExecutor(VISITORS) as pool:
        visitors = [pool.submit(_read, host, port, pause, each, stopped) for each in range(VISITORS)]
        sys.stdin.read()
        seconds = time.monotonic() - began
        stopped.set()
        print(sum(visitor.result() for visitor in visitors) / seconds)


def _read(host: str, port: int, pause_seconds: float, first: int, stopped: Event) -> int:
    connection, sent, answered = http.client.HTTPConnection(host, port, timeout=60), 0, 0
    paths = islice(cycle(PATHS), first % len(PATHS), None)
    began = time.monotonic() + pause_seconds * first / VISITORS
    while not stopped.wait(max(0.0, began + sent * pause_seconds - time.monotonic())):
        connection.request("GET", next(paths))
        response = connection.getresponse()
        response.read()
        # A worker without time for the page asks the visitor to wait.
        if response.status not in (http.client.OK, http.client.SERVICE_UNAVAILABLE):
            raise RuntimeError(f"the page answers {response.status}")
        sent += 1
        answered += response.status == http.client.OK
    return answered


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
