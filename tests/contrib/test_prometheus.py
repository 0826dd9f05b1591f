"""
A real Prometheus scrapes a real worker, and evaluates the alerts and the dashboard.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pytest

from certworker.devca.proxy import DevelopmentProxy
from certworker.observability.metrics.families import FAMILIES
from certworker.traefik.config import TraefikConfig
from certworker.worker.health import reports
from tests.contrib.monitoring import ALERTS, alerts, expressions, queries, selectors
from tests.servers.development import development_authority
from tests.servers.ports import free_port
from tests.servers.prometheus import Prometheus, promtool
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until
from tests.shell_examples import variables

NAME = "main.localhost"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[WorkerProcess]:
    """
    Start a worker with a CA and a proxy. It has issued a certificate, and one name has failed.
    """
    place, port = tmp_path_factory.mktemp("worker"), free_port()
    proxy = DevelopmentProxy(TraefikConfig(place / "config").files)
    proxy.start()
    with (
        redis_server.client() as connection,
        development_authority(place, http01_port=port) as authority,
    ):
        connection.flushall()
        limits = place / "limits.json"
        limits.write_text(json.dumps({authority.directory_url: {"orders_per_account": "300/3h"}}))
        settings = variables(place, redis_server, authority, port) | {
            "CERTWORKER_LIMITS_FILE": str(limits),
            "CERTWORKER_METRICS_PER_NAME": "10",
            "CERTWORKER_NOTIFY_URL": f"http://127.0.0.1:{free_port()}/",
            "CERTWORKER_PROXY_ADDRESS": f"127.0.0.1:{proxy.port}",
        }
        with WorkerProcess(settings, place / "log") as started:
            started.wait_for_line(f"{NAME}: certificate issued")
            started.wait_for_line("serves the new certificate")
            assert 1 == started.command("request", "--wait", "missing.invalid").returncode
            yield started
    proxy.stop()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, worker: WorkerProcess) -> Iterator[Prometheus]:
    """
    Start a Prometheus that has scraped the worker twice.
    """
    place = tmp_path_factory.mktemp("prometheus")
    with Prometheus(place, f"127.0.0.1:{worker.http_port}", ALERTS) as started:
        wait_until(
            lambda: started.query("rate(certworker_jobs_total[1m])") or None, lambda: "there are no rates"
        )
        yield started


class TestWorker:
    def test_promtool_accepts_its_metrics(self, worker: WorkerProcess) -> None:
        """
        The check of Prometheus finds no fault in a scrape.
        """
        status, scrape = worker.get("/metrics")

        assert 200 == status
        assert "" == promtool("check", "metrics", stdin=scrape)

    def test_its_report_has_the_load_of_the_proxy(
        self, worker: WorkerProcess, redis_server: RedisServer
    ) -> None:
        """
        The page of another process gets the time until the proxy served the certificate, and the reloads.
        """
        with redis_server.client() as connection:
            wait_until(
                lambda: any(report.proxy.served for report in reports(connection)) or None,
                lambda: "the worker reports no served certificate",
            )
            (report,) = reports(connection)

        assert (1, 1) == (report.proxy.reloads, report.proxy.served)
        assert 0 < report.proxy.seconds <= report.proxy.slowest

    def test_prometheus_scrapes_it(self, prometheus: Prometheus) -> None:
        """
        Prometheus stores the metrics of the worker, and rejects no sample.
        """
        (target,) = prometheus.get("targets")["activeTargets"]

        assert ("up", "") == (target["health"], target["lastError"])
        (name,) = prometheus.query("certworker_certificate_not_after_timestamp_seconds")
        assert NAME == name["metric"]["name"]

    def test_each_metric_has_a_series(self, prometheus: Prometheus) -> None:
        """
        After a short run, each metric has a series.
        """
        names = set(prometheus.get("label/__name__/values"))

        assert [] == [
            family.series for family in FAMILIES if not any(name.startswith(family.series) for name in names)
        ]

    def test_its_requests_checks_and_times_are_counted(self, prometheus: Prometheus) -> None:
        """
        One issuance and one failure are in the counters.
        """
        for counted in (
            'certworker_jobs_total{outcome="issued"}',
            'certworker_jobs_total{outcome="failed"}',
            'certworker_acme_requests_total{kind="finalize", status="200"}',
            'certworker_preflight_checks_total{outcome="pass"}',
            'certworker_publications_total{outcome="written"}',
            "certworker_request_to_service_seconds_count",
            "certworker_proxy_delay_seconds_count",
            'certworker_names{condition="ready", code=""}',
            'certworker_names{condition="failed", code!="", issuer="none"}',
        ):
            assert prometheus.query(f"sum({counted}) > 0"), counted


class TestDashboard:
    @pytest.mark.parametrize("query", list(queries()))
    def test_each_query_returns_data(self, prometheus: Prometheus, query: str) -> None:
        """
        Each query of the dashboard returns at least one finite value.
        """
        values = wait_until(
            lambda: [float(each["value"][1]) for each in prometheus.query(query)] or None,
            lambda: f"no data: {query}",
        )

        assert not all(map(math.isnan, values)) or "histogram_quantile" in query


class TestAlerts:
    def test_each_rule_is_evaluated_without_error(self, prometheus: Prometheus) -> None:
        """
        Prometheus evaluates each alert, and none fails.
        """

        def evaluated() -> list[tuple[str, str, str]] | None:
            (group,) = prometheus.get("rules")["groups"]
            found = [(rule["name"], rule["health"], rule.get("lastError", "")) for rule in group["rules"]]
            return None if any(health == "unknown" for _, health, _ in found) else found

        found = wait_until(evaluated, lambda: "some rules are not evaluated")

        assert [(rule["alert"], "ok", "") for rule in alerts()] == found

    @pytest.mark.parametrize("selector", sorted(set(selectors(" ".join(rule["expr"] for rule in alerts())))))
    def test_each_selector_returns_data(self, prometheus: Prometheus, selector: str) -> None:
        """
        The series of each alert exist, although nothing is wrong.
        """
        assert prometheus.query(selector)

    def test_a_healthy_worker_causes_no_critical_alert(self, prometheus: Prometheus) -> None:
        """
        The worker with one failed name has no critical alert that fires, because the name has just failed.
        """
        firing = 'ALERTS{alertstate="firing", severity="critical"}'

        assert [] == prometheus.query(firing)


def test_an_invalid_expression_is_an_error(prometheus: Prometheus) -> None:
    """
    The tests would notice an expression that Prometheus does not accept.
    """
    with pytest.raises(AssertionError, match="bad_data"):
        prometheus.query("sum by (")
    assert len(expressions()) > 40
