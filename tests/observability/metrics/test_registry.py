"""
Tests of the metrics of one worker, as Prometheus reads them.
"""

from __future__ import annotations

import time

from prometheus_client.parser import text_string_to_metric_families

from certworker.observability.metrics.registry import Metrics
from tests.observability.metrics.scrapes import samples, series


class TestMetrics:
    def test_two_workers_in_one_process_count_separately(self) -> None:
        """
        Two workers in one process have separate counters.
        """
        first, second = Metrics(), Metrics()
        first.job("issued", "", 1, {})

        assert series(first, "certworker_jobs_total")
        assert not series(second, "certworker_jobs_total")

    def test_the_process_has_metrics(self) -> None:
        """
        The metrics of the process and of its garbage collection have the names of the library.
        """
        metrics = Metrics()
        metrics.watch_process()
        found = samples(metrics)

        assert found["process_resident_memory_bytes", ()] > 1_000_000
        assert found["process_start_time_seconds", ()] < time.time()
        assert series(metrics, "python_gc_collections_total")
        assert series(metrics, "python_info")

    def test_the_age_of_an_unserved_publication_is_a_metric(self) -> None:
        """
        Each scrape reads the age.
        """
        metrics, ages = Metrics(), [0.0, 700.0]
        metrics.watch_publications(ages.pop)

        assert 700 == samples(metrics)["certworker_unserved_publication_age_seconds", ()]
        assert 0 == samples(metrics)["certworker_unserved_publication_age_seconds", ()]

    def test_counters_have_no_start_times(self) -> None:
        """
        The library adds no series with the start of each counter.
        """
        metrics = Metrics()
        metrics.job("issued", "", 1, {})
        names = {family.name for family in text_string_to_metric_families(metrics.render().decode())}

        assert not {name for name in names if name.endswith("_created")}
