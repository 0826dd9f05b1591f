"""
Tests of the metrics of names.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from certworker.observability.metrics.names import Counted
from certworker.observability.metrics.registry import Metrics
from certworker.renewal.domain_status import STATES
from tests.observability.metrics.scrapes import samples, series

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NOT_AFTER = "certworker_certificate_not_after_timestamp_seconds"


def counted(name: str, days_left: int, **more: Any) -> Counted:
    """
    Return a name with a certificate of 90 days.
    """
    end = NOW + days_left * DAY
    values = {"issuer": "letsencrypt", "not_before": end - 90 * DAY, "renewal": end - 30 * DAY, **more}
    return Counted("valid", days_left / 90, end, name, **values)


def watching(*names: Counted, per_name: int = 0) -> Metrics:
    """
    Return the metrics of *names*.
    """
    metrics = Metrics()
    metrics.watch_names(lambda: names, states=STATES, issuers=("letsencrypt", "adopted"), per_name=per_name)
    return metrics


class TestCounts:
    def test_a_failure_is_counted_by_the_certificate_in_service(self) -> None:
        """
        Failures with and without a valid certificate are two series, which exist from the start.
        """
        shares = [("failed", 0.4), ("failed", -0.1), ("failed", None), ("valid", 0.9), ("expired", -1.0)]
        states = [Counted(*each) for each in shares]
        metrics, nothing = Metrics(), Metrics()
        metrics.watch_names(lambda: states, states=())
        nothing.watch_names(list, states=())

        for found, valid, none in ((samples(metrics), 1, 2), (samples(nothing), 0, 0)):
            assert valid == found["certworker_failed_certificates", (("certificate", "valid"),)]
            assert none == found["certworker_failed_certificates", (("certificate", "none"),)]
        assert 3 == samples(metrics)["certworker_certificates", (("state", "failed"),)]

    def test_certificates_are_counted_by_state_and_remaining_lifetime(self) -> None:
        """
        The metrics count the certificates by their state and by their remaining lifetime.
        """
        metrics = Metrics()
        shares = [("issued", 0.9), ("issued", 0.15), ("failed", -0.5), ("failed", None)]
        certificates = [Counted(*each) for each in shares]
        metrics.watch_names(lambda: certificates, states=())
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
        metrics.watch_names(lambda: [Counted("valid", 0.5, end) for end in ends], states=())
        nothing.watch_names(list, states=())
        name = ("certworker_earliest_not_after_timestamp_seconds", ())

        assert samples(metrics)[name] == NOW.timestamp()
        assert name not in samples(nothing)

    def test_a_state_without_names_is_zero(self) -> None:
        """
        A state without names has the value 0, so that alerts and graphs work.
        """
        metrics = Metrics()
        metrics.watch_names(lambda: [Counted("valid", 0.5)], states=STATES)
        found = samples(metrics)

        assert {state: 1 if state == "valid" else 0 for state in STATES} == {
            state: found["certworker_certificates", (("state", state),)] for state in STATES
        }


class TestConditions:
    def test_a_name_may_have_several_conditions(self) -> None:
        """
        A failed name with a valid certificate is ready and failed. Later it is overdue, then only failed.
        """

        def conditions(share: float | None) -> set[str]:
            return set(Counted("failed", share).conditions)

        assert {"ready", "failed"} == conditions(0.25)
        assert {"ready", "failed", "overdue"} == conditions(0.2)
        assert {"failed", "overdue"} == conditions(0.0)
        assert {"failed"} == conditions(None)
        assert {"paused"} == set(Counted("paused", None).conditions)
        assert {"ready"} == set(Counted("due", 0.3).conditions)

    def test_a_moved_name_is_not_overdue(self) -> None:
        """
        The certificate of a moved name is not renewed, so it causes no alert before it expires.
        """
        found = samples(watching(Counted("moved", 0.05, NOW), Counted("valid", 0.5, NOW + DAY)))

        assert {"ready"} == set(Counted("moved", 0.05).conditions)
        assert 0 == found["certworker_certificate_remaining_ratio_bucket", (("le", "0.1"),)]
        assert (NOW + DAY).timestamp() == found["certworker_earliest_not_after_timestamp_seconds", ()]

    def test_failures_are_counted_by_issuer_and_code(self) -> None:
        """
        Each failed name counts for the issuer of its certificate, with the code of its failure.
        """
        metrics = watching(
            Counted("failed", 0.5, issuer="letsencrypt", code="http.404"),
            Counted("failed", None, code="http.404"),
            Counted("paused", 0.5, issuer="adopted", code="rate.paused"),
        )
        found = {
            labels: count
            for (name, labels), count in samples(metrics).items()
            if name == "certworker_names" and count and dict(labels)["condition"] != "ready"
        }

        assert {
            (("code", "http.404"), ("condition", "failed"), ("issuer", "letsencrypt")): 1,
            (("code", "http.404"), ("condition", "failed"), ("issuer", "none")): 1,
            (("code", "rate.paused"), ("condition", "paused"), ("issuer", "adopted")): 1,
        } == found

    def test_a_condition_without_names_is_zero(self) -> None:
        """
        Each condition has a series for each known issuer from the start.
        """
        found = series(watching(), "certworker_names")

        assert len(found) == 4 * 2

    def test_hostile_records_and_files_create_no_series(self) -> None:
        """
        An unknown code or issuer counts as `other`.
        """
        hostile = [
            Counted("failed", 0.5, issuer=f"ca-{number}\n", code=f'"code {number}') for number in range(100)
        ]
        found = {dict(labels)["issuer"] for labels in series(watching(*hostile), "certworker_names")}
        codes = {dict(labels)["code"] for labels in series(watching(*hostile), "certworker_names")}

        assert {"letsencrypt", "adopted", "other"} == found
        assert {"", "other"} == codes


class TestSingleNames:
    def test_without_the_setting_no_name_has_series(self) -> None:
        """
        The default has no series for a name.
        """
        assert not series(watching(counted("a.org", 10)), NOT_AFTER)

    def test_the_first_names_to_expire_have_series(self) -> None:
        """
        The cap admits the names whose certificates expire first.
        """
        names = [counted("c.org", 30), counted("a.org", 20), counted("b.org", 10), Counted("missing", None)]
        found = {dict(labels)["name"] for labels in series(watching(*names, per_name=2), NOT_AFTER)}

        assert {"a.org", "b.org"} == found

    @pytest.mark.parametrize(("moment", "days"), [("not_before", -80), ("not_after", 10), ("renewal", -20)])
    def test_a_name_has_the_times_of_its_certificate(self, moment: str, days: int) -> None:
        """
        The metrics of a name are the start, the end and the renewal of its certificate.
        """
        found = samples(watching(counted("a.org", 10), per_name=1))
        labels = (("issuer", "letsencrypt"), ("name", "a.org"))
        expected = (NOW + days * DAY).timestamp()

        assert expected == found[f"certworker_certificate_{moment}_timestamp_seconds", labels]

    def test_all_names_count_beyond_the_cap(self) -> None:
        """
        Names without series of their own are counted by their state.
        """
        metrics = watching(*(counted(f"{number}.org", number) for number in range(5)), per_name=2)

        assert 5 == samples(metrics)["certworker_certificates", (("state", "valid"),)]
