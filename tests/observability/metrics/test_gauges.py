"""
Tests of the metrics that a scrape reads from Redis and from the loops.
"""

from __future__ import annotations

from certworker.observability.metrics.gauges import IssuerBudget
from certworker.observability.metrics.registry import Metrics
from certworker.supervision import Heartbeat, Heartbeats
from certworker.version import __version__
from tests.observability.metrics.scrapes import samples


class TestQueue:
    def test_the_queue_is_read_at_every_scrape(self) -> None:
        """
        Each scrape reads the length of the queue, the age of its head, and the lag of the scheduler.
        """
        metrics, waiting = Metrics(), [4, 3]
        metrics.watch_queue(jobs=waiting.pop, head_age=lambda: 12.5, scheduler_lag=lambda: 0.5)

        assert 3 == samples(metrics)["certworker_queue_jobs", ()]
        assert 4 == samples(metrics)["certworker_queue_jobs", ()]
        waiting.append(0)
        found = samples(metrics)
        assert [12.5, 0.5] == [
            found[name, ()]
            for name in ("certworker_queue_head_age_seconds", "certworker_scheduler_lag_seconds")
        ]

    def test_without_redis_the_other_metrics_are_shown(self) -> None:
        """
        Without Redis, the metric of the queue is absent, and the others remain.
        """

        def fail() -> int:
            raise ConnectionError("Redis is unreachable")

        metrics = Metrics()
        metrics.job("failed", "redis.unreachable", 1, {})
        metrics.watch_queue(jobs=fail, head_age=lambda: 0, scheduler_lag=lambda: 0)
        found = samples(metrics)

        assert ("certworker_queue_jobs", ()) not in found
        assert found["certworker_jobs_total", (("code", "redis.unreachable"), ("outcome", "failed"))] == 1

    def test_the_version_is_a_metric(self) -> None:
        """
        The version is the label of a metric, so that a dashboard shows it.
        """
        assert samples(Metrics())["certworker_build_info", (("version", __version__),)] == 1


class TestBudgets:
    def test_each_limit_has_its_rest_and_its_size(self) -> None:
        """
        Each CA has a series for each of its limits, and one for the time of the next order.
        """
        metrics = Metrics()
        limits = {"orders": (12, 300), "domain": (0, 50)}
        metrics.watch_budgets(lambda: [IssuerBudget("a", limits, 1e9), IssuerBudget("b", {}, 2e9)])
        found = samples(metrics)

        assert 12 == found["certworker_budget_left", (("issuer", "a"), ("limit", "orders"))]
        assert 50 == found["certworker_budget_limit", (("issuer", "a"), ("limit", "domain"))]
        assert [1e9, 2e9] == [
            found["certworker_next_order_timestamp_seconds", (("issuer", issuer),)] for issuer in "ab"
        ]


class TestNotifications:
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
        Without Redis, the metric is absent, and the others remain.
        """

        def fail() -> dict[str, int]:
            raise ConnectionError("Redis is unreachable")

        metrics = Metrics()
        metrics.job("issued", "", 1, {})
        metrics.watch_notifications(fail)

        assert not [name for name, _ in samples(metrics) if name == "certworker_notifications_waiting"]
        assert samples(metrics)["certworker_jobs_total", (("code", ""), ("outcome", "issued"))] == 1


class TestLoops:
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
