"""
The profile `monitoring` of docker-compose.yml, and the guide to Prometheus and Grafana, without an engine.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from certworker.settings import load
from tests.contrib.monitoring import ALERTS, DASHBOARD, TOP
from tests.documentation import DOCS
from tests.servers.prometheus import promtool
from tests.test_containers_files import WORKER

GUIDE = DOCS / "guides" / "monitoring.md"
PROVISIONING = DASHBOARD.parent / "provisioning"
PORT = 8081


@pytest.fixture(scope="module")
def compose() -> Any:
    """
    Return docker-compose.yml, parsed.
    """
    return yaml.safe_load((TOP / "docker-compose.yml").read_text())


def mounted(compose: Any, service: str) -> dict[str, Path]:
    """
    Return the files of this repository in the container of *service*, by their paths there.
    """
    return {
        each["target"]: TOP / compose["configs"][each["source"]]["file"]
        for each in compose["services"][service]["configs"]
    }


class TestProfile:
    def test_only_the_profile_starts_prometheus_and_grafana(self, compose: Any) -> None:
        """
        Without the profile, `docker compose up` starts neither of them.
        """
        optional = {
            name: service["profiles"]
            for name, service in compose["services"].items()
            if "profiles" in service
        }

        assert {"prometheus": ["monitoring"], "grafana": ["monitoring"]} == optional
        assert "COMPOSE_PROFILES=monitoring\n" in GUIDE.read_text()

    def test_only_this_machine_reaches_grafana(self, compose: Any) -> None:
        """
        Grafana is published on the loopback interface, and Prometheus is not published.
        """
        assert ["127.0.0.1:3000:3000"] == compose["services"]["grafana"]["ports"]
        assert "ports" not in compose["services"]["prometheus"]

    def test_visitors_of_grafana_have_no_account(self, compose: Any) -> None:
        """
        There is no login and no administrator with a known password.
        """
        environment = compose["services"]["grafana"]["environment"]

        assert "GF_AUTH_ANONYMOUS_ENABLED=true" in environment
        assert "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION=true" in environment
        assert not [each for each in environment if "ORG_ROLE" in each or "PASSWORD" in each]

    def test_only_prometheus_and_grafana_share_the_network_of_the_metrics(self, compose: Any) -> None:
        """
        The network of the metrics is internal, and has the worker, Prometheus and Grafana.
        """
        members = {
            name
            for name, service in compose["services"].items()
            if "monitoring" in service.get("networks", [])
        }

        assert {WORKER, "prometheus", "grafana"} == members
        assert {"internal": True} == compose["networks"]["monitoring"]


class TestPrometheus:
    def test_its_configuration_is_valid(self, compose: Any, tmp_path: Path) -> None:
        """
        Prometheus accepts its configuration, with the alerts at the path in the container.
        """
        files = mounted(compose, "prometheus")
        config = files["/etc/prometheus/prometheus.yml"]
        (rules,) = yaml.safe_load(config.read_text())["rule_files"]
        assert files[rules] == ALERTS
        (tmp_path / "prometheus.yml").write_text(config.read_text().replace(rules, str(ALERTS)))

        assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")

    def test_it_scrapes_the_worker_at_the_address_of_the_guide(self, compose: Any) -> None:
        """
        The target is the service of the worker, with the port that the guide sets.
        """
        config = yaml.safe_load(mounted(compose, "prometheus")["/etc/prometheus/prometheus.yml"].read_text())
        (discovery,) = config["scrape_configs"][0]["dns_sd_configs"]
        (address,) = re.findall(r"^(CERTWORKER_METRICS_ADDRESS)=(.+)$", GUIDE.read_text(), re.MULTILINE)
        settings = load(dict([address]))

        assert ([WORKER], PORT) == (discovery["names"], discovery["port"])
        assert settings.metrics_address is not None
        assert ("0.0.0.0", PORT) == (settings.metrics_address.host, settings.metrics_address.port)


class TestGrafana:
    def test_its_data_source_is_prometheus(self, compose: Any) -> None:
        """
        The data source is the service of Prometheus, and the dashboard selects it.
        """
        provisioning = mounted(compose, "grafana")["/etc/grafana/provisioning/datasources/certworker.yml"]
        (source,) = yaml.safe_load(provisioning.read_text())["datasources"]

        assert ("prometheus", "http://prometheus:9090") == (source["type"], source["url"])
        assert source["isDefault"]

    def test_it_loads_the_dashboard(self, compose: Any) -> None:
        """
        The directory of the provider and the first page are those of the mounted dashboard.
        """
        files = mounted(compose, "grafana")
        (target,) = [target for target, file in files.items() if file == DASHBOARD]
        provisioning = files["/etc/grafana/provisioning/dashboards/certworker.yml"]
        (provider,) = yaml.safe_load(provisioning.read_text())["providers"]
        environment = compose["services"]["grafana"]["environment"]

        assert str(Path(target).parent) == provider["options"]["path"]
        assert f"GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH={target}" in environment

    def test_each_file_is_mounted(self, compose: Any) -> None:
        """
        No file for Grafana is unused.
        """
        assert set(PROVISIONING.iterdir()) | {DASHBOARD} == set(mounted(compose, "grafana").values())


class TestGuide:
    def test_the_configuration_of_an_own_prometheus_is_valid(self, tmp_path: Path) -> None:
        """
        The command of the guide accepts its configuration, with the alerts under their new name.
        """
        (config,) = re.findall(r"^```yaml\n(rule_files:.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
        (tmp_path / "prometheus.yml").write_text(config)
        (rules,) = yaml.safe_load(config)["rule_files"]
        shutil.copy(ALERTS, tmp_path / rules)
        assert "promtool check config prometheus.yml\n" in GUIDE.read_text()

        assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")
