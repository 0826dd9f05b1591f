"""
The counters and histograms of this process. Each call takes microseconds, so a job may count everything.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from certworker.observability.metrics import families
from certworker.observability.metrics.families import Family
from certworker.observability.metrics.label_values import code_of, status_of, step_of

#: A longer time from a request to its certificate comes from an invalid time of the request.
LONGEST_TO_SERVICE_SECONDS = 30 * 86_400

#: The kinds of requests that may reach a limit of the CA. Their series exist from the start: for Prometheus,
#: a series that begins with 1 has not increased.
LIMITED_KINDS = ("account", "order", "challenge", "finalize", "poll", "nonce")

#: The outcomes of valid bundles, whose series exist from the start.
BUNDLE_OUTCOMES = ("stored", "removed", "outdated")


class Counters:
    """
    The counters and histograms. The components call these methods.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        # The library would add a metric with the start time of each counter, which Prometheus does not need.
        disable_created_metrics()
        self._registry = registry
        self._jobs = self._counter(families.JOBS)
        self._job_durations = self._histogram(families.JOB_DURATION)
        self._step_durations = self._histogram(families.STEP_DURATION)
        self._times_to_service = self._histogram(families.TIME_TO_SERVICE)
        self._requests = self._counter(families.ACME_REQUESTS)
        self._request_durations = self._histogram(families.ACME_DURATION)
        self._checks = self._counter(families.CHECKS)
        self._check_durations = self._histogram(families.CHECK_DURATION)
        self._publications = self._counter(families.PUBLICATIONS)
        self._publication_durations = self._histogram(families.PUBLICATION_DURATION)
        self._proxy_delays = self._histogram(families.PROXY_DELAY)
        self._conflicts = self._counter(families.LOCK_CONFLICTS)
        self._bundles = self._counter(families.BUNDLES)
        for outcome in BUNDLE_OUTCOMES:
            self._bundles.labels(outcome)

    def job(self, outcome: str, code: str, seconds: float, steps: Mapping[str, float]) -> None:
        """
        Count a job that ended.

        Args:
            outcome: `issued`, `imported`, `kept`, `covered`, `failed`, `waiting`, `skipped` or `removed`.
            code: The code of the failure; empty without a failure.
            seconds: The duration of the job.
            steps: The seconds of each step that the job ran, by its name.
        """
        self._jobs.labels(outcome, code_of(code)).inc()
        self._job_durations.observe(seconds)
        for step, duration in steps.items():
            self._step_durations.labels(step_of(step)).observe(duration)

    def in_service(self, seconds: float) -> None:
        """
        Record that a new certificate is in service *seconds* after its request.
        """
        if 0 <= seconds <= LONGEST_TO_SERVICE_SECONDS:
            self._times_to_service.observe(seconds)

    def expect_requests(self, issuer: str) -> None:
        """
        Add the series of refusals by the limits of *issuer*, with the value 0.
        """
        for kind in LIMITED_KINDS:
            self._requests.labels(issuer, kind, status_of(429))

    def acme_request(self, issuer: str, kind: str, status: int, seconds: float) -> None:
        """
        Count a request to a CA that has ended, with or without an answer.

        Args:
            issuer: The label of the CA.
            kind: The kind of the request.
            status: The HTTP status; 0 without a usable answer.
            seconds: The duration of the request.
        """
        self._requests.labels(issuer, kind, status_of(status)).inc()
        self._request_durations.labels(issuer, kind).observe(seconds)

    def check(self, check: str, outcome: str, seconds: float) -> None:
        """
        Count a completed check before an order.

        Args:
            check: The name of the check.
            outcome: `pass`, `warn`, `fail`, `skipped` or `error`.
            seconds: The duration of the check.
        """
        self._checks.labels(check, outcome).inc()
        self._check_durations.labels(check).observe(seconds)

    def publication(self, outcome: str, seconds: float) -> None:
        """
        Count an attempt to write the proxy's files: `written`, `unchanged` or `failed`.
        """
        self._publications.labels(outcome).inc()
        self._publication_durations.observe(seconds)

    def proxy_delay(self, seconds: float) -> None:
        """
        Record that the proxy serves a new certificate *seconds* after its publication.
        """
        self._proxy_delays.observe(seconds)

    def lock_conflict(self) -> None:
        """
        Count a name that another job had locked.
        """
        self._conflicts.inc()

    def bundle(self, outcome: str) -> None:
        """
        Count a bundle from another host: `stored`, `removed`, `outdated`, or the code of a failure.
        """
        self._bundles.labels(outcome).inc()

    def _counter(self, family: Family) -> Counter:
        return Counter(family.name, family.meaning, family.labels, registry=self._registry)

    def _histogram(self, family: Family) -> Histogram:
        return Histogram(
            family.name, family.meaning, family.labels, buckets=family.buckets, registry=self._registry
        )
