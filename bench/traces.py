"""
The cost of the steps of a job, without and with tracing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ContextDecorator
from pathlib import Path
from statistics import median

from bench.figures import Figure, progress
from certworker.tracing.setup import start_tracer
from certworker.tracing.steps import step
from tests.servers.collector import Collector

TITLE = "the steps of a job"
NOTE = (
    "the steps of a job: the time that 8 steps and 6 checks need for their measurement, median of 2,000 jobs "
    "that do nothing else. With tracing, a collector on this machine receives all spans."
)

STEPS = ("lock", "preflight", "order", "validate", "finalize", "store", "publish", "record")
CHECKS = ("settings", "volumes", "clock", "DNS", "CAA", "port 80")
ROUNDS = 2_000


def measure(_place: Path) -> list[Figure]:
    """
    Return the microseconds for a job.
    """
    progress(f"{TITLE}: {ROUNDS} jobs without tracing, then with tracing")
    off = _microseconds(step)
    with Collector() as collector:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        tracer = start_tracer(os.environ)
        assert tracer is not None
        on = _microseconds(tracer.job)
        tracer.stop()
    return [
        Figure(TITLE, "without tracing", off, "µs", 100),
        Figure(TITLE, "with tracing", on, "µs", 1_000),
    ]


def _microseconds(job: Callable[[str], ContextDecorator]) -> float:
    def run() -> None:
        for name in STEPS:
            with step(name):
                for check in CHECKS if name == "preflight" else ():
                    with step(check):
                        pass

    measured, took = job("issue")(run), []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        measured()
        took.append(time.perf_counter() - began)
    return 1e6 * median(took)
