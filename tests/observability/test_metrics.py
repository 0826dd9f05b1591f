"""
Tests of the metrics, as Prometheus reads them.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from certworker.observability.metrics import Counted, Metrics
from certworker.renewal.domain_status import STATES
from certworker.supervision import Heartbeat, Heartbeats
from certworker.version import __version__

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """
    Return the samples that Prometheus stores.
    """
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


class TestJobs:
    """
    Metrics of the jobs of this worker.
    """

    def test_jobs_are_counted_by_outcome_and_code(self) -> None:
        """
        The counter has a series for each outcome and code.
        """
        metrics = Metrics()
        metrics.job("issued", "", 0.8)
        metrics.job("issued", "", 1.2)
        metrics.job("failed", "http.404", 0.04)
        found = samples(metrics)

        assert found["certworker_jobs_total", (("code", ""), ("outcome", "issued"))] == 2
        assert found["certworker_jobs_total", (("code", "http.404"), ("outcome", "failed"))] == 1

    def test_durations_are_in_buckets(self) -> None:
        """
        The duration of each job is counted in its buckets.
        """
        metrics = Metrics()
        for seconds in (0.04, 0.8, 400):
            metrics.job("issued", "", seconds)
        found = samples(metrics)

        assert found["certworker_job_duration_seconds_bucket", (("le", "0.05"),)] == 1
        assert found["certworker_job_duration_seconds_bucket", (("le", "1.0"),)] == 2
        assert found["certworker_job_duration_seconds_count", ()] == 3

    def test_two_workers_in_one_process_count_separately(self) -> None:
        """
        Two workers in one process have separate counters.
        """
        first, second = Metrics(), Metrics()
        first.job("issued", "", 1)

        assert ("certworker_jobs_total", (("code", ""), ("outcome", "issued"))) not in samples(second)


class TestGauges:
    """
    Metrics that each scrape reads.
    """

    def test_a_failure_is_counted_by_the_certificate_in_service(self) -> None:
        """
        Failures with and without a valid certificate are two series, which exist from the start.
        """
        shares = [("failed", 0.4), ("failed", -0.1), ("failed", None), ("valid", 0.9), ("expired", -1.0)]
        states = [Counted(*each) for each in shares]
        metrics, nothing = Metrics(), Metrics()
        metrics.watch(queue_jobs=lambda: 0, certificates=lambda: states, states=())
        nothing.watch(queue_jobs=lambda: 0, certificates=list, states=())

        for found, valid, none in ((samples(metrics), 1, 2), (samples(nothing), 0, 0)):
            assert valid == found["certworker_failed_certificates", (("certificate", "valid"),)]
            assert none == found["certworker_failed_certificates", (("certificate", "none"),)]
        assert 3 == samples(metrics)["certworker_certificates", (("state", "failed"),)]

    def test_the_queue_is_read_at_every_scrape(self) -> None:
        """
        Each scrape reads the length of the queue.
        """
        waiting = [3]
        metrics = Metrics()
        metrics.watch(queue_jobs=waiting.pop, certificates=list, states=())

        assert samples(metrics)["certworker_queue_jobs", ()] == 3

    def test_certificates_are_counted_by_state_and_remaining_lifetime(self) -> None:
        """
        The metrics count the certificates by their state and by their remaining lifetime.
        """
        metrics = Metrics()
        shares = [("issued", 0.9), ("issued", 0.15), ("failed", -0.5), ("failed", None)]
        certificates = [Counted(*each) for each in shares]
        metrics.watch(queue_jobs=lambda: 0, certificates=lambda: certificates, states=())
        found = samples(metrics)

        assert found["certworker_certificates", (("state", "issued"),)] == 2
        assert found["certworker_certificates", (("state", "failed"),)] == 2
        remaining = "certworker_certificate_remaining_ratio_bucket"
        assert found[remaining, (("le", "0.0"),)] == 1
        assert found[remaining, (("le", "0.2"),)] == 2
        assert found[remaining, (("le", "+Inf"),)] == 3

    def test_the_earliest_end_of_a_certificate_is_a_metric(self) -> None:
        """
        The metric has the earliest end, and is absent without a certificate.
        """
        metrics, nothing = Metrics(), Metrics()
        ends = [None, NOW + timedelta(days=9), NOW, NOW + timedelta(days=1)]
        metrics.watch(
            queue_jobs=lambda: 0, certificates=lambda: [Counted("valid", 0.5, end) for end in ends], states=()
        )
        nothing.watch(queue_jobs=lambda: 0, certificates=list, states=())
        name = ("certworker_earliest_not_after_timestamp_seconds", ())

        assert samples(metrics)[name] == NOW.timestamp()
        assert name not in samples(nothing)

    def test_a_state_without_names_is_zero(self) -> None:
        """
        A state without names has the value 0, so that alerts and graphs work.
        """
        metrics = Metrics()
        metrics.watch(queue_jobs=lambda: 0, certificates=lambda: [Counted("valid", 0.5)], states=STATES)
        found = samples(metrics)

        assert {state: 1 if state == "valid" else 0 for state in STATES} == {
            state: found["certworker_certificates", (("state", state),)] for state in STATES
        }

    def test_a_slow_count_is_cached(self) -> None:
        """
        The result of a slow count is cached for the next scrapes.
        """
        counts = []

        def slow() -> list[Counted]:
            time.sleep(0.05)
            counts.append(1)
            return [Counted("issued", 1.0)]

        metrics = Metrics()
        metrics.watch(queue_jobs=lambda: 0, certificates=slow, states=())
        first, second = samples(metrics), samples(metrics)

        assert len(counts) == 1
        assert first == second

    def test_without_redis_the_other_metrics_are_shown(self) -> None:
        """
        Without Redis the metric of the queue is absent, and the others remain.
        """

        def fail() -> int:
            raise ConnectionError("Redis is unreachable")

        metrics = Metrics()
        metrics.job("failed", "redis.unreachable", 1)
        metrics.watch(queue_jobs=fail, certificates=list, states=())
        found = samples(metrics)

        assert ("certworker_queue_jobs", ()) not in found
        assert found["certworker_jobs_total", (("code", "redis.unreachable"), ("outcome", "failed"))] == 1

    def test_the_version_is_a_metric(self) -> None:
        """
        The version is the label of a metric, so that a dashboard shows it.
        """
        metrics = Metrics()
        metrics.watch(queue_jobs=lambda: 0, certificates=list, states=())

        assert samples(metrics)["certworker_build_info", (("version", __version__),)] == 1


class TestNotifications:
    """
    Metrics of waiting notifications.
    """

    def test_each_channel_has_a_series(self) -> None:
        """
        Each channel has a series with the number of its waiting notifications.
        """
        metrics = Metrics()
        metrics.watch_notifications(lambda: {"mail": 3, "hook": 0})
        found = samples(metrics)

        assert found["certworker_notifications_waiting", (("channel", "mail"),)] == 3
        assert found["certworker_notifications_waiting", (("channel", "hook"),)] == 0

    def test_without_redis_the_metric_is_absent(self) -> None:
        """
        Without Redis the metric is absent, and the others remain.
        """

        def fail() -> dict[str, int]:
            raise ConnectionError("Redis is unreachable")

        metrics = Metrics()
        metrics.job("issued", "", 1)
        metrics.watch_notifications(fail)

        assert not [name for name, _ in samples(metrics) if name == "certworker_notifications_waiting"]
        assert samples(metrics)["certworker_jobs_total", (("code", ""), ("outcome", "issued"))] == 1


class TestNaming:
    """
    The naming rules of Prometheus.
    """

    def test_the_names_follow_the_rules_of_prometheus(self) -> None:
        """
        Each metric has the prefix, a base unit and a help text. Only counters end with `_total`.
        """
        metrics = Metrics()
        metrics.job("issued", "", 1)
        metrics.watch(queue_jobs=lambda: 0, certificates=lambda: [Counted("issued", 1.0, NOW)], states=())

        for family in text_string_to_metric_families(metrics.render().decode()):
            assert family.name.startswith("certworker_")
            assert family.documentation
            assert not family.name.endswith(("_ms", "_days", "_percent", "_created"))
            assert (family.type == "counter") == (family.name == "certworker_jobs")


class TestLoops:
    """
    Metrics of the loops of this worker.
    """

    def test_a_stalled_loop_has_a_series(self) -> None:
        """
        A stalled loop has the value 1, and a loop that never started is absent.
        """
        now = [100.0]
        heartbeats = Heartbeats()
        jobs, maintenance, labels = (
            Heartbeat(name, 30, clock=lambda: now[0]) for name in ("jobs", "maintenance", "labels")
        )
        heartbeats.add(jobs, maintenance, labels)
        metrics = Metrics()
        metrics.watch_loops(heartbeats)
        maintenance.beat()
        now[0] += 61
        jobs.beat()
        found = samples(metrics)

        assert found["certworker_loop_stalled", (("loop", "maintenance"),)] == 1
        assert found["certworker_loop_stalled", (("loop", "jobs"),)] == 0
        assert found["certworker_loop_silence_seconds", (("loop", "maintenance"),)] == 61
        assert ("certworker_loop_stalled", (("loop", "labels"),)) not in found
