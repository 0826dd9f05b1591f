"""
The samples of a scrape.
"""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from certworker.observability.metrics.registry import Metrics

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: Metrics) -> Samples:
    """
    Return the samples that Prometheus stores.
    """
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def series(metrics: Metrics, name: str) -> set[tuple[tuple[str, str], ...]]:
    """
    Return the labels of each series of *name*.
    """
    return {labels for found, labels in samples(metrics) if found == name}
