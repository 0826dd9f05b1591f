"""
The metrics in the text format of Prometheus (https://prometheus.io/docs/practices/naming/).

::

    certworker_jobs_total{outcome,code}                jobs that ended
    certworker_job_duration_seconds                    the duration of jobs
    certworker_queue_jobs                              jobs in the queue
    certworker_certificates{state}                     names by the state of their record
    certworker_failed_certificates{certificate}        names whose last attempt failed: `valid` or `none`
    certworker_earliest_not_after_timestamp_seconds    when the first certificate in service expires
    certworker_certificate_remaining_ratio             names by the remaining share of the lifetime
    certworker_notifications_waiting{channel}          notifications that are not delivered yet
    certworker_loop_silence_seconds{loop}              seconds since a loop made progress
    certworker_loop_stalled{loop}                      1 if the loop makes no progress, otherwise 0
    certworker_build_info{version}                     always 1
"""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import (
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from certworker.supervision import Heartbeats
from certworker.version import __version__

logger = logging.getLogger(__name__)

#: The buckets, from a job without an order, through a fast CA, to a CA that validates for minutes.
DURATIONS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

#: A worker spends at most this share of its time on counting names. 50,000 names take about a second.
MAX_COLLECT_SHARE = 1 / 20

#: Expired, critical, overdue, due, due with a short validity period, new (see
#: :mod:`certworker.renewal.expiry_alerts` and :mod:`certworker.renewal.policy`).
REMAINING_RATIO_BUCKETS = (0.0, 0.1, 0.2, 1 / 3, 0.5, 1.0)


class Counted(NamedTuple):
    """
    The values of one name that the metrics count.
    """

    state: str
    #: The remaining share of the lifetime: 1 is new, 0 or less is expired. None: no certificate.
    share_left: float | None
    #: When its certificate expires.
    not_after: datetime | None = None


class Metrics:
    """
    The counters of this worker, and the gauges that it computes at each scrape.
    """

    def __init__(self) -> None:
        # The library adds a metric with the start time of each counter. Prometheus does not need it.
        disable_created_metrics()
        self._registry = CollectorRegistry()
        self._jobs = Counter(
            "certworker_jobs", "Jobs that ended.", ["outcome", "code"], registry=self._registry
        )
        self._durations = Histogram(
            "certworker_job_duration_seconds",
            "How long jobs took.",
            buckets=DURATIONS_SECONDS,
            registry=self._registry,
        )

    def job(self, outcome: str, code: str, seconds: float) -> None:
        """
        Count a job that ended.

        Args:
            outcome: `issued`, `kept`, `covered`, `failed`, `waiting` or `removed`.
            code: The code of the failure; empty without a failure.
            seconds: The duration of the job.
        """
        self._jobs.labels(outcome, code).inc()
        self._durations.observe(seconds)

    def watch(
        self,
        *,
        queue_jobs: Callable[[], int],
        certificates: Callable[[], Iterable[Counted]],
        states: Sequence[str],
    ) -> None:
        """
        Report jobs and names at each scrape. If Redis is unreachable, only these metrics are absent.

        Args:
            queue_jobs: Returns the number of jobs in the queue.
            certificates: Yields every name.
            states: All states of a name. A state without names is 0: an absent series raises no alert.
        """
        self._registry.register(_CertificateCollector(queue_jobs, certificates, states))

    def watch_notifications(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        """
        Count the waiting notifications by channel at each scrape. If that fails, the metric is absent.
        """
        self._registry.register(_Notifications(waiting))

    def watch_loops(self, heartbeats: Heartbeats) -> None:
        """
        Report at each scrape whether the running loops make progress.
        """
        self._registry.register(_Loops(heartbeats))

    def render(self) -> bytes:
        """
        Return all metrics in the text format of Prometheus.
        """
        return generate_latest(self._registry)


class _Notifications:
    def __init__(self, waiting: Callable[[], Mapping[str, int]]) -> None:
        self._waiting = waiting

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "certworker_notifications_waiting",
            "Notifications that are not delivered yet.",
            labels=["channel"],
        )
        try:
            for channel, count in self._waiting().items():
                family.add_metric([channel], count)
        except Exception as error:  # a scrape shows the rest
            logger.debug("a metric is missing: %s", error)
        yield family


class _Loops:
    def __init__(self, heartbeats: Heartbeats) -> None:
        self._heartbeats = heartbeats

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        silence = GaugeMetricFamily(
            "certworker_loop_silence_seconds", "Seconds since a loop made progress.", labels=["loop"]
        )
        stalled = GaugeMetricFamily(
            "certworker_loop_stalled", "Whether a loop makes no progress: 1, or 0.", labels=["loop"]
        )
        for heartbeat, seconds in self._heartbeats.expected():
            silence.add_metric([heartbeat.name], seconds)
            stalled.add_metric([heartbeat.name], float(heartbeat.is_stalled()))
        yield from (silence, stalled)


class _CertificateCollector:
    def __init__(
        self,
        queue_jobs: Callable[[], int],
        certificates: Callable[[], Iterable[Counted]],
        states: Sequence[str],
    ) -> None:
        self._queue_jobs = queue_jobs
        self._certificates = certificates
        self._states = states
        self._counted: list[Metric] = []
        self._count_again = 0.0

    def describe(self) -> Iterable[Metric]:
        # Without this method the registry would collect at once, before anything can be counted.
        return []

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("certworker_build", "The version that runs.", {"version": __version__})
        for found in (self._queue, self._names):
            try:
                yield from found()
            except Exception as error:  # the scrape shows the other metrics
                logger.debug("a metric is missing: %s", error)

    def _queue(self) -> list[Metric]:
        return [GaugeMetricFamily("certworker_queue_jobs", "Jobs that wait.", self._queue_jobs())]

    def _names(self) -> list[Metric]:
        began = time.monotonic()
        if began >= self._count_again:
            self._counted = self._count()
            ended = time.monotonic()
            self._count_again = ended + (ended - began) / MAX_COLLECT_SHARE
        return self._counted

    def _count(self) -> list[Metric]:
        states = Tally(dict.fromkeys(self._states, 0))
        failed = {"valid": 0, "none": 0}
        shares: list[float] = []
        earliest: datetime | None = None
        for state, share, not_after in self._certificates():
            states[state] += 1
            if state == "failed":
                failed["valid" if share is not None and share > 0 else "none"] += 1
            if share is not None:
                shares.append(share)
            if not_after is not None:
                earliest = min(earliest or not_after, not_after)
        by_state = GaugeMetricFamily(
            "certworker_certificates", "Names by the state of their record.", labels=["state"]
        )
        for state, count in sorted(states.items()):
            by_state.add_metric([state], count)
        first_end = GaugeMetricFamily(
            "certworker_earliest_not_after_timestamp_seconds",
            "When the first certificate in service ends, in seconds since 1970.",
        )
        if earliest is not None:
            first_end.add_metric([], earliest.timestamp())
        by_certificate = GaugeMetricFamily(
            "certworker_failed_certificates",
            "Names whose last attempt failed, by the certificate in service: valid, or none that is valid.",
            labels=["certificate"],
        )
        for certificate, count in failed.items():
            by_certificate.add_metric([certificate], count)
        buckets = [(str(limit), sum(share <= limit for share in shares)) for limit in REMAINING_RATIO_BUCKETS]
        remaining = GaugeHistogramMetricFamily(
            "certworker_certificate_remaining_ratio",
            "Names by the share of their certificate's life that is left.",
            buckets=[*buckets, ("+Inf", len(shares))],
            gsum_value=sum(shares),
        )
        return [by_state, by_certificate, first_end, remaining]
