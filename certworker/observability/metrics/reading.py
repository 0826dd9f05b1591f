"""
Reads metrics during a scrape. The metrics of a function that fails are absent; the scrape shows the others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from certworker.observability.metrics.families import Family

logger = logging.getLogger(__name__)

#: A process spends at most this share of its time on one slow metric. Counting 50,000 names takes a second.
MAX_COLLECT_SHARE = 1 / 20


class Collector:
    """
    Calls functions during a scrape, each of which reads one or more metrics.

    If a function fails, all of its metrics are absent.
    """

    def __init__(self, *reads: Callable[[], Iterable[Metric]]) -> None:
        self._reads = reads

    def collect(self) -> Iterator[Metric]:
        """
        Yield the metrics that can be read.
        """
        for read in self._reads:
            try:
                metrics = list(read())
            except Exception as error:  # the scrape shows the other metrics
                logger.debug("could not read a metric: %s", error)
            else:
                yield from metrics


class Sparing:
    """
    Reads slow metrics less often. In between, scrapes show the cached metrics.
    """

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read
        self._cached: list[Metric] = []
        self._read_again = 0.0

    def __call__(self) -> list[Metric]:
        """
        Return the metrics, from this scrape or an earlier one.
        """
        began = time.monotonic()
        if began >= self._read_again:
            self._cached = list(self._read())
            ended = time.monotonic()
            self._read_again = ended + (ended - began) / MAX_COLLECT_SHARE
        return self._cached


def gauge(family: Family) -> GaugeMetricFamily:
    """
    Return an empty gauge for *family*.
    """
    return GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
