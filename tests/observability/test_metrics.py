"""
The metrics, as Prometheus reads them.
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
    What Prometheus would store.
    """
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


class TestJobs:
    """
    What this worker counted.
    """

    def test_by_outcome_and_code(self) -> None:
        """
        An alert on one code is worth more than one on all failures.
        """
        metrics = Metrics()
        metrics.job("issued", "", 0.8)
        metrics.job("issued", "", 1.2)
        metrics.job("failed", "http.404", 0.04)
        found = samples(metrics)

        assert found["certworker_jobs_total", (("code", ""), ("outcome", "issued"))] == 2
        assert found["certworker_jobs_total", (("code", "http.404"), ("outcome", "failed"))] == 1

    def test_how_long_they_took(self) -> None:
        """
        A CA that becomes slow shows here first.
        """
        metrics = Metrics()
        for seconds in (0.04, 0.8, 400):
            metrics.job("issued", "", seconds)
        found = samples(metrics)

        assert found["certworker_job_duration_seconds_bucket", (("le", "0.05"),)] == 1
        assert found["certworker_job_duration_seconds_bucket", (("le", "1.0"),)] == 2
        assert found["certworker_job_duration_seconds_count", ()] == 3

    def test_two_workers_in_one_process_count_apart(self) -> None:
        """
        Nothing global: tests and embedders have several.
        """
        first, second = Metrics(), Metrics()
        first.job("issued", "", 1)

        assert ("certworker_jobs_total", (("code", ""), ("outcome", "issued"))) not in samples(second)


class TestStanding:
    """
    What it finds when it is asked.
    """

    def test_a_failure_is_counted_by_the_certificate_in_service(self) -> None:
        """
        Only a failure without a valid certificate is an alarm; both series are there from the start.
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

    def test_asked_at_every_scrape(self) -> None:
        """
        A gauge that is set now and then is wrong in between.
        """
        waiting = [3]
        metrics = Metrics()
        metrics.watch(queue_jobs=waiting.pop, certificates=list, states=())

        assert samples(metrics)["certworker_queue_jobs", ()] == 3

    def test_names_by_state_and_by_life_left(self) -> None:
        """
        "Does any certificate end soon?" is the one question everybody asks.
        """
        metrics = Metrics()
        shares = [("issued", 0.9), ("issued", 0.15), ("failed", -0.5), ("failed", None)]
        standing = [Counted(*each) for each in shares]
        metrics.watch(queue_jobs=lambda: 0, certificates=lambda: standing, states=())
        found = samples(metrics)

        assert found["certworker_certificates", (("state", "issued"),)] == 2
        assert found["certworker_certificates", (("state", "failed"),)] == 2
        remaining = "certworker_certificate_remaining_ratio_bucket"
        assert found[remaining, (("le", "0.0"),)] == 1
        assert found[remaining, (("le", "0.2"),)] == 2
        assert found[remaining, (("le", "+Inf"),)] == 3

    def test_the_end_of_the_first_certificate(self) -> None:
        """
        It is absent without a certificate: 0 would be the year 1970, and an alert.
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

    def test_a_state_that_no_name_has_is_zero(self) -> None:
        """
        An alert on a series that does not exist never fires, and a graph has a gap.
        """
        metrics = Metrics()
        metrics.watch(queue_jobs=lambda: 0, certificates=lambda: [Counted("valid", 0.5)], states=STATES)
        found = samples(metrics)

        assert {state: 1 if state == "valid" else 0 for state in STATES} == {
            state: found["certworker_certificates", (("state", state),)] for state in STATES
        }

    def test_a_slow_count_is_not_made_at_every_scrape(self) -> None:
        """
        Reloads of a dashboard must not delay certificates.
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
        Metrics that vanish altogether are no help in an outage.
        """

        def away() -> int:
            raise ConnectionError("Redis is away")

        metrics = Metrics()
        metrics.job("failed", "redis.unreachable", 1)
        metrics.watch(queue_jobs=away, certificates=list, states=())
        found = samples(metrics)

        assert ("certworker_queue_jobs", ()) not in found
        assert found["certworker_jobs_total", (("code", "redis.unreachable"), ("outcome", "failed"))] == 1

    def test_the_version_is_a_metric(self) -> None:
        """
        A dashboard shows which hosts still run the old one.
        """
        metrics = Metrics()
        metrics.watch(queue_jobs=lambda: 0, certificates=list, states=())

        assert samples(metrics)["certworker_build_info", (("version", __version__),)] == 1


class TestNotifications:
    """
    What people have not been sent yet.
    """

    def test_each_channel_has_its_number(self) -> None:
        """
        A mail server that is away for a day is seen before it is needed.
        """
        metrics = Metrics()
        metrics.watch_notifications(lambda: {"mail": 3, "hook": 0})
        found = samples(metrics)

        assert found["certworker_notifications_waiting", (("channel", "mail"),)] == 3
        assert found["certworker_notifications_waiting", (("channel", "hook"),)] == 0

    def test_without_redis_it_is_absent(self) -> None:
        """
        The other metrics remain.
        """

        def away() -> dict[str, int]:
            raise ConnectionError("Redis is away")

        metrics = Metrics()
        metrics.job("issued", "", 1)
        metrics.watch_notifications(away)

        assert not [name for name, _ in samples(metrics) if name == "certworker_notifications_waiting"]
        assert samples(metrics)["certworker_jobs_total", (("code", ""), ("outcome", "issued"))] == 1


class TestNaming:
    """
    Prometheus' rules.
    """

    def test_the_names_say_what_is_counted(self) -> None:
        """
        Names have the prefix of certworker, base units, and `_total` for counters only; each has a help text.
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
    What the loops of this worker do.
    """

    def test_a_stalled_one_can_be_alerted_on(self) -> None:
        """
        A loop that is switched off is absent, and none has a value before a scrape.
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
