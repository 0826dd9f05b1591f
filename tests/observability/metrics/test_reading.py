"""
Test how a scrape reads metrics.
"""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from certworker.observability.metrics.families import QUEUE_JOBS
from certworker.observability.metrics.reading import Collector, Sparing, gauge


def fail() -> list[Metric]:
    """
    Raise an error, as an unreachable Redis does.
    """
    raise ConnectionError("Redis is unreachable")


def read() -> list[Metric]:
    """
    Return a metric.
    """
    return [gauge(QUEUE_JOBS)]


class TestCollector:
    def test_a_metric_that_cannot_be_read_is_absent(self) -> None:
        """
        The metrics before and after it are there.
        """
        assert 2 == len(list(Collector(read, fail, read).collect()))

    def test_nothing_is_read_before_the_first_scrape(self) -> None:
        """
        The registration reads nothing.
        """
        reads = []

        def counted() -> list[Metric]:
            reads.append(1)
            return read()

        CollectorRegistry().register(Collector(counted))

        assert [] == reads


class TestSparing:
    def test_a_slow_read_is_cached(self) -> None:
        """
        The result of a slow read is cached for the next scrapes.
        """
        reads = []

        def slow() -> list[Metric]:
            time.sleep(0.05)
            reads.append(1)
            return read()

        sparing = Sparing(slow)

        assert sparing() is sparing()
        assert [1] == reads

    def test_a_failure_is_not_cached(self) -> None:
        """
        After a failure, the next scrape reads again.
        """
        results = [read, fail]
        sparing = Sparing(lambda: results.pop()())

        assert [] == list(Collector(sparing).collect())
        assert 1 == len(list(Collector(sparing).collect()))
