"""
The time of jobs during a flood of invalid requests to the HTTP server from another host.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.figures import Figure, progress
from bench.worlds import Worker, pebble, worker_at

TITLE = "a flood"
NOTE = (
    "a flood: one warm job at a time, without other requests and with 5,000 requests per second for unknown "
    "challenges. They come from a network namespace, or from this host without the right to create one. Each "
    "job needs responses from the same HTTP server for two requests: that of the check and that of the CA."
)

REQUESTS_A_SECOND = 5_000
CONNECTIONS = 64
JOBS = 40

NAMESPACE = "certworker-bench"
OURS, THEIRS = "10.203.113.1", "10.203.113.2"


def measure(place: Path) -> list[Figure]:
    """
    Return the median time of a job during the flood, and its ratio to a job without the flood.
    """
    with (
        pebble(place / "ca") as ca,
        other_host() as (address, prefix),
        # The CA connects to the loopback interface, and the flood to another interface.
        worker_at(ca, place / "worker", "0.0.0.0" if prefix else address) as worker,
    ):
        quiet = _seconds(worker, "quiet")
        command = [*prefix, sys.executable, "-m", "bench.flooder", address, str(ca.http_port)]
        limits = [str(REQUESTS_A_SECOND), str(CONNECTIONS)]
        with subprocess.Popen([*command, *limits], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as flooder:
            time.sleep(1)
            flooded = _seconds(worker, "flooded")
            offered, _ = flooder.communicate()
    return [
        Figure(TITLE, "requests offered", float(offered), "a second"),
        Figure(TITLE, "a job without the flood", 1000 * quiet, "ms"),
        Figure(TITLE, "a job during the flood", 1000 * flooded, "ms"),
        Figure(TITLE, "  against a job without the flood", flooded / quiet, "× as long", 1.5),
    ]


@contextmanager
def other_host() -> Iterator[tuple[str, list[str]]]:
    """
    Yield the address of this host for another host, and the prefix of a command that runs on the other host.
    """
    if os.geteuid() != 0:
        yield "127.0.0.1", []
        return
    inside = ["ip", "netns", "exec", NAMESPACE]
    _run("ip", "netns", "add", NAMESPACE)
    try:
        _run("ip", "link", "add", "cwbench0", "type", "veth", "peer", "name", "cwbench1", "netns", NAMESPACE)
        _run("ip", "address", "add", f"{OURS}/30", "dev", "cwbench0")
        _run("ip", "link", "set", "cwbench0", "up")
        _run(*inside, "ip", "address", "add", f"{THEIRS}/30", "dev", "cwbench1")
        _run(*inside, "ip", "link", "set", "cwbench1", "up")
        yield OURS, inside
    finally:
        # This removes the pair of interfaces, too.
        _run("ip", "netns", "delete", NAMESPACE)


def _seconds(worker: Worker, prefix: str) -> float:
    progress(f"{TITLE}: {JOBS} jobs, {prefix}")
    took = []
    for number in range(JOBS):
        began = time.perf_counter()
        name = f"{prefix}{number}.bench.test"
        worker.request([name])
        worker.wait_for([name])
        took.append(time.perf_counter() - began)
    return median(took)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
