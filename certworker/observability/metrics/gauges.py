"""
The other metrics that a scrape reads: from Redis, and from this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import InfoMetricFamily, Metric

from certworker.observability.metrics import families
from certworker.observability.metrics.families import Family
from certworker.observability.metrics.reading import gauge
from certworker.supervision import Heartbeats
from certworker.version import __version__


class IssuerBudget(NamedTuple):
    """
    What the limits of a CA leave.
    """

    #: The label of the CA.
    issuer: str
    #: By limit, what is left of it and its size.
    limits: Mapping[str, tuple[int, int]]
    #: When the next order is possible, in seconds since 1970.
    next_order: float


def build_info() -> list[Metric]:
    """
    Return the metric with the version.
    """
    return [InfoMetricFamily(families.BUILD.name, families.BUILD.meaning, {"version": __version__})]


def single(family: Family, value: Callable[[], float]) -> Callable[[], list[Metric]]:
    """
    Return a function that reads the only *value* of *family*.
    """

    def read() -> list[Metric]:
        metric = gauge(family)
        metric.add_metric([], value())
        return [metric]

    return read


def by_label(family: Family, values: Callable[[], Mapping[str, float]]) -> Callable[[], list[Metric]]:
    """
    Return a function that reads the *values* of *family* by its only label.
    """

    def read() -> list[Metric]:
        metric = gauge(family)
        for label, value in values().items():
            metric.add_metric([label], value)
        return [metric]

    return read


def loops(heartbeats: Heartbeats) -> list[Metric]:
    """
    Return the metrics of the loops that are expected to make progress.
    """
    silence, stalled = gauge(families.SILENCE), gauge(families.STALLED)
    for heartbeat, seconds in heartbeats.expected():
        silence.add_metric([heartbeat.name], seconds)
        stalled.add_metric([heartbeat.name], float(heartbeat.is_stalled()))
    return [silence, stalled]


def budgets(read: Callable[[], Sequence[IssuerBudget]]) -> list[Metric]:
    """
    Return the metrics of what the limits of each CA leave.
    """
    left, size, next_order = map(gauge, (families.BUDGET_LEFT, families.BUDGET_LIMIT, families.NEXT_ORDER))
    for budget in read():
        for limit, (remaining, total) in budget.limits.items():
            left.add_metric([budget.issuer, limit], remaining)
            size.add_metric([budget.issuer, limit], total)
        next_order.add_metric([budget.issuer], budget.next_order)
    return [left, size, next_order]
