"""
The metrics of one worker or mirror: its counters, and what a scrape reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from certworker.observability.metrics import families, gauges
from certworker.observability.metrics.counters import Counters
from certworker.observability.metrics.gauges import IssuerBudget
from certworker.observability.metrics.label_values import Issuers
from certworker.observability.metrics.names import Counted, NameCounter
from certworker.observability.metrics.reading import Collector, Sparing
from certworker.supervision import Heartbeats


class Metrics(Counters):
    """
    The counters of this process, and the gauges that it reads at each scrape.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()
        super().__init__(registry)
        self._registry.register(Collector(gauges.build_info))

    def watch_process(self) -> None:
        """
        Report the memory, CPU time, files and garbage collection of this process at each scrape.
        """
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def watch_names(
        self,
        certificates: Callable[[], Iterable[Counted]],
        states: Sequence[str],
        *,
        issuers: Sequence[str] = (),
        per_name: int = 0,
    ) -> None:
        """
        Count the names at each scrape, or less often if counting is slow.

        Args:
            certificates: Yields every name.
            states: All states of a name. A state without names is 0: an absent series raises no alert.
            issuers: The labels of the known CAs, and of other sources of certificates.
            per_name: The number of names with certificate times in the metrics: those that expire first.
        """
        names = NameCounter(certificates, states, Issuers(issuers), per_name)
        self._registry.register(Collector(Sparing(names)))

    def watch_queue(
        self, *, jobs: Callable[[], int], head_age: Callable[[], float], scheduler_lag: Callable[[], float]
    ) -> None:
        """
        Report the queue at each scrape: its length, how long its next job has waited, and how late the
        earliest delayed job or check is.
        """
        self._registry.register(
            Collector(
                gauges.single(families.QUEUE_JOBS, jobs),
                gauges.single(families.HEAD_AGE, head_age),
                gauges.single(families.SCHEDULER_LAG, scheduler_lag),
            )
        )

    def watch_budgets(self, budgets: Callable[[], Sequence[IssuerBudget]]) -> None:
        """
        Report at each scrape what the limits of each CA leave.
        """
        self._registry.register(Collector(partial(gauges.budgets, budgets)))

    def watch_publications(self, oldest_unserved: Callable[[], float]) -> None:
        """
        Report at each scrape the age of the oldest new certificate that the proxy does not serve.
        """
        self._registry.register(Collector(gauges.single(families.UNSERVED_AGE, oldest_unserved)))

    def watch_replication(self, *, lag: Callable[[], float], missing: Callable[[], float]) -> None:
        """
        Report at each scrape how far this host is behind the others: in seconds, and in names.
        """
        self._registry.register(
            Collector(
                gauges.single(families.REPLICATION_LAG, lag),
                gauges.single(families.REPLICATION_MISSING, missing),
            )
        )

    def watch_notifications(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        """
        Count the waiting notifications by channel at each scrape.
        """
        self._registry.register(Collector(gauges.by_label(families.NOTIFICATIONS, waiting)))

    def watch_loops(self, heartbeats: Heartbeats) -> None:
        """
        Report at each scrape whether the running loops are making progress.
        """
        self._registry.register(Collector(partial(gauges.loops, heartbeats)))

    def render(self) -> bytes:
        """
        Return all metrics in the text format of Prometheus.
        """
        return generate_latest(self._registry)
