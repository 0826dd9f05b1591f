"""
A worker with 100,000 names: its start, its memory, its hourly work, the status, and the adoption.

`BENCH_NAMES` sets another number of names.

The volumes are made once, which takes some minutes: `python -m bench.many_names`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from redis import Redis

from bench.figures import Figure, progress
from bench.many_names import adopted_world, copied, fill_redis, plain_world
from bench.processes import tree_bytes
from bench.worlds import environment, redis_server, settings
from certworker.app import App, build_app
from certworker.settings import load

TITLE = "many names"
NOTE = (
    "many names: one worker, one Redis, and 100,000 names, each with its own certificate. No request goes to "
    "a CA. The share of a core is that of an hour: the work of a round, and of the time between two rounds."
)

NAMES = int(os.environ.get("BENCH_NAMES", "100000"))
MEGABYTE = 1_000_000
ROUNDS = 3
#: A round changes directories with many names, which the worker lists again in the following minute. This is
#: a part of the round.
SETTLING_SECONDS = 60.0
IDLE_SECONDS = 60.0
PATIENCE_SECONDS = 300.0
HOUR_SECONDS = 3600


def measure(place: Path) -> list[Figure]:
    """
    Return the figures of a worker with many names.
    """
    world = adopted_world(NAMES)
    with redis_server(place / "redis") as redis, redis.client() as connection:
        progress(f"{TITLE}: copying the volume and filling Redis")
        variables = _settings(copied(world, place / "own"), redis.port)
        fill_redis(connection, world, NAMES)
        app = _app(variables, connection)
        files = _seconds("all files of Traefik are missing", app.repair.repair)
        figures = [Figure(TITLE, "all files of Traefik written", files, "s", 60), *_worker(place, variables)]
        figures += _status(variables)
        connection.flushall()
        rebuilt = _seconds("rebuilding an emptied Redis", app.reconciler.reconcile)
        figures.append(Figure(TITLE, "emptied Redis rebuilt", rebuilt, "s", 15))
        connection.flushall()
        app = _app(_settings(copied(plain_world(NAMES), place / "plain"), redis.port), connection)
        adopted = _seconds("adopting the pairs of another program", app.reconciler.reconcile)
        figures.append(Figure(TITLE, "pairs of another program adopted", adopted, "s", 360))
    return figures


def _settings(volumes: Path, redis_port: int) -> dict[str, str]:
    return settings(volumes, redis_port) | {
        "CERTWORKER_AUTHORITY": "https://127.0.0.1:9/directory",
        "CERTWORKER_PRIVATE_NETWORK": "true",
        "CERTWORKER_HTTP_ADDRESS": "off",
        "CERTWORKER_PROXY_ADDRESS": "off",
        "CERTWORKER_WEB_ADDRESS": "off",
    }


def _app(variables: Mapping[str, str], connection: Redis) -> App:
    return build_app(
        load(variables),
        connection,
        directory_of=lambda choice: str(choice.directory_url),
        wake=lambda _moment: None,
    )


def _worker(place: Path, variables: Mapping[str, str]) -> list[Figure]:
    """
    Return the figures of a worker from its start until it is idle.
    """
    progress(f"{TITLE}: starting a worker")
    began, log = time.monotonic(), place / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "certworker", "work"],
            env=environment(variables),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(lambda: b" ready" in log.read_bytes(), process)
        ready, at_start = time.monotonic() - began, _cpu_seconds(process.pid)
        _wait_until_idle(process)
        time.sleep(SETTLING_SECONDS)
        work = _cpu_seconds(process.pid) - at_start
        memory = tree_bytes(process.pid)
        before = _cpu_seconds(process.pid)
        time.sleep(IDLE_SECONDS)
        between = (_cpu_seconds(process.pid) - before) / IDLE_SECONDS
    finally:
        process.kill()
        process.wait()
    share = 100 * (between + work / HOUR_SECONDS)
    return [
        Figure(TITLE, "from the start until ready", ready, "s", 1.5),
        Figure(TITLE, "processor time of the first round", work, "s"),
        Figure(TITLE, "memory after it", memory / MEGABYTE, "MB", 120),
        Figure(TITLE, "share of a core while idle", share, "%", 1),
    ]


def _wait(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError("the worker has ended, or does not become ready or idle")
        time.sleep(0.01)


def _wait_until_idle(process: subprocess.Popen[bytes]) -> None:
    used = [0.0, _cpu_seconds(process.pid)]

    def is_idle() -> bool:
        time.sleep(5)
        used.append(_cpu_seconds(process.pid))
        return used[-1] - used[-2] < 0.25 and used[-2] - used[-3] < 0.25

    _wait(is_idle, process)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(variables: Mapping[str, str]) -> list[Figure]:
    certworker = str(Path(sys.executable).with_name("certworker"))
    figures = []
    for options, bar in (((), 0.8), (("--summary",), 1.5)):
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            command = [certworker, "status", *options]
            # The exit code is that of the worst name, and no worker is running.
            subprocess.run(command, env=environment(variables), check=False, stdout=subprocess.DEVNULL)
            took.append(time.perf_counter() - began)
        figures.append(Figure(TITLE, " ".join(("certworker status", *options)), median(took), "s", bar))
    return figures


def _seconds(step: str, action: Callable[[], object]) -> float:
    progress(f"{TITLE}: {step}")
    began = time.monotonic()
    action()
    return time.monotonic() - began
