"""
Tests of the counters of a worker.
"""

from __future__ import annotations

from certworker.observability.metrics.counters import LONGEST_TO_SERVICE_SECONDS
from certworker.observability.metrics.registry import Metrics
from tests.observability.metrics.scrapes import samples, series


class TestJobs:
    def test_jobs_are_counted_by_outcome_and_code(self) -> None:
        """
        The counter has a series for each outcome and code.
        """
        metrics = Metrics()
        metrics.job("issued", "", 0.8, {})
        metrics.job("issued", "", 1.2, {})
        metrics.job("failed", "http.404", 0.04, {})
        found = samples(metrics)

        assert found["certworker_jobs_total", (("code", ""), ("outcome", "issued"))] == 2
        assert found["certworker_jobs_total", (("code", "http.404"), ("outcome", "failed"))] == 1

    def test_durations_are_in_buckets(self) -> None:
        """
        The duration of each job is counted in its buckets.
        """
        metrics = Metrics()
        for seconds in (0.04, 0.8, 400):
            metrics.job("issued", "", seconds, {})
        found = samples(metrics)

        assert found["certworker_job_duration_seconds_bucket", (("le", "0.05"),)] == 1
        assert found["certworker_job_duration_seconds_bucket", (("le", "1.0"),)] == 2
        assert found["certworker_job_duration_seconds_count", ()] == 3

    def test_each_step_has_its_durations(self) -> None:
        """
        The duration of each step is in the buckets of its series. An unknown step adds no series.
        """
        metrics = Metrics()
        metrics.job("failed", "http.404", 0.05, {"lock": 0.0008, "validate": 0.04})
        metrics.job("issued", "", 0.9, {"lock": 0.002, "validate": 0.8, "a new step": 0.1})
        found, name = samples(metrics), "certworker_job_step_duration_seconds"

        assert 2 == found[f"{name}_count", (("step", "validate"),)]
        assert 1 == found[f"{name}_bucket", (("le", "0.05"), ("step", "validate"))]
        assert 1 == found[f"{name}_bucket", (("le", "0.001"), ("step", "lock"))]
        assert {(("step", step),) for step in ("lock", "validate", "other")} == series(
            metrics, f"{name}_count"
        )

    def test_a_code_outside_of_the_catalog_is_other(self) -> None:
        """
        The number of series has a bound: the codes of the catalog.
        """
        metrics = Metrics()
        for number in range(50):
            metrics.job("failed", f"code {number}", 1, {})

        assert {(("code", "other"), ("outcome", "failed"))} == series(metrics, "certworker_jobs_total")

    def test_the_time_of_an_invalid_request_does_not_count(self) -> None:
        """
        A request from the future, or from years ago, is not in the histogram.
        """
        metrics = Metrics()
        for seconds in (-1, LONGEST_TO_SERVICE_SECONDS + 1, 3):
            metrics.in_service(seconds)
        found = samples(metrics)

        assert 1 == found["certworker_request_to_service_seconds_count", ()]
        assert 3 == found["certworker_request_to_service_seconds_sum", ()]


class TestRequests:
    def test_requests_are_counted_by_issuer_kind_and_status(self) -> None:
        """
        Each request counts once, and its duration is in the histogram of its kind.
        """
        metrics = Metrics()
        metrics.acme_request("letsencrypt", "order", 201, 0.3)
        metrics.acme_request("letsencrypt", "order", 0, 45)
        found = samples(metrics)
        request = (("issuer", "letsencrypt"), ("kind", "order"))

        assert 1 == found["certworker_acme_requests_total", (*request, ("status", "201"))]
        assert 1 == found["certworker_acme_requests_total", (*request, ("status", "none"))]
        assert 2 == found["certworker_acme_request_duration_seconds_count", request]

    def test_a_ca_with_all_statuses_creates_few_series(self) -> None:
        """
        Unusual statuses count as their class.
        """
        metrics = Metrics()
        for status in range(-1000, 2000):
            metrics.acme_request("ca", "poll", status, 0.1)
        found = {dict(labels)["status"] for labels in series(metrics, "certworker_acme_requests_total")}

        assert len(found) < 25
        assert {"none", "other", "2xx", "4xx", "429"} <= found

    def test_refusals_by_a_limit_have_series_from_the_start(self) -> None:
        """
        The first refusal increases a series from 0, which an alert sees.
        """
        metrics = Metrics()
        metrics.expect_requests("letsencrypt")
        labels = (("issuer", "letsencrypt"), ("kind", "order"), ("status", "429"))

        assert 0 == samples(metrics)["certworker_acme_requests_total", labels]


class TestOthers:
    def test_checks_publications_and_conflicts_are_counted(self) -> None:
        """
        Each counter and each histogram has its value.
        """
        metrics = Metrics()
        metrics.check("DNS", "warn", 0.02)
        metrics.publication("written", 0.01)
        metrics.proxy_delay(1.5)
        metrics.lock_conflict()
        found = samples(metrics)

        assert 1 == found["certworker_preflight_checks_total", (("check", "DNS"), ("outcome", "warn"))]
        assert 0.02 == found["certworker_preflight_check_duration_seconds_sum", (("check", "DNS"),)]
        assert 1 == found["certworker_publications_total", (("outcome", "written"),)]
        assert 0.01 == found["certworker_publication_duration_seconds_sum", ()]
        assert 1.5 == found["certworker_proxy_delay_seconds_sum", ()]
        assert 1 == found["certworker_lock_conflicts_total", ()]
