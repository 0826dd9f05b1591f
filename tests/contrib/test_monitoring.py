"""
The alerts for Prometheus and the dashboard for Grafana match the metrics of a worker.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from certworker.observability.metrics.names import Counted
from certworker.observability.metrics.registry import Metrics
from certworker.renewal.domain_status import STATES
from certworker.supervision import Heartbeat, Heartbeats

TOP = Path(__file__).parents[2]
RULES = TOP / "contrib" / "prometheus" / "rules.yml"
DASHBOARD = TOP / "contrib" / "grafana" / "certworker.json"
GUIDE = TOP / "docs" / "guides" / "alerts.md"

Series = set[tuple[str, str, str]]


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    """
    Return the metrics of a worker in which each event has occurred.
    """
    heartbeats = Heartbeats()
    heartbeat = Heartbeat("jobs", 30)
    heartbeat.beat()
    heartbeats.add(heartbeat)
    found = Metrics()
    found.job("failed", "http.404", 1)
    found.watch_queue(jobs=lambda: 1, head_age=lambda: 1, scheduler_lag=lambda: 1)
    found.watch_names(lambda: [Counted("valid", 0.5, datetime(2026, 11, 23, tzinfo=UTC))], states=STATES)
    found.watch_loops(heartbeats)
    found.watch_notifications(lambda: {"mail": 1})
    return found


@pytest.fixture(scope="module")
def served(metrics: Metrics) -> Series:
    """
    Return each series: its name, and a label with its value.
    """
    return {
        (sample.name, label, value)
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        for label, value in (sample.labels or {"": ""}).items()
    }


def rules() -> list[dict[str, Any]]:
    """
    Return each alert.
    """
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """
    Return each panel of the dashboard.
    """
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    """
    Yield each query of the alerts and of the dashboard.
    """
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


class TestQueries:
    @pytest.mark.parametrize("expression", list(expressions()))
    def test_each_uses_a_series_that_certworker_serves(self, expression: str, served: Series) -> None:
        """
        Each query uses names and values that certworker serves.
        """
        names = {name for name, _, _ in served}
        asked = re.findall(r"(certworker_\w+)(?:\{([^}]*)\})?", expression)

        assert asked
        for name, selector in asked:
            assert name in names
            for label, operator, value in re.findall(r'(\w+)(=|!=)"([^"]*)"', selector):
                assert operator == "!=" or (name, label, value) in served

    @pytest.mark.parametrize("expression", list(expressions()))
    def test_each_groups_by_labels_that_certworker_serves(self, expression: str, served: Series) -> None:
        """
        Each query groups by labels that certworker serves.
        """
        labels = {label for _, label, _ in served} | {"instance"}

        for group in re.findall(r"\bby \(([^)]*)\)", expression):
            assert set(re.split(r",\s*", group)) <= labels

    @pytest.mark.parametrize("expression", list(expressions()))
    def test_a_value_of_all_workers_is_never_added(self, expression: str) -> None:
        """
        No query adds values that each worker with the same Redis reports.
        """
        shared = (
            "notifications_waiting|certificates|certificate_remaining|failed_certificates|queue_jobs|earliest"
        )

        assert not re.search(rf"sum(?: by \([^)]*\))? \((?:certworker_)(?:{shared})", expression)
        assert not re.search(rf"\bsum\(certworker_(?:{shared})", expression)


class TestRules:
    def test_each_has_a_severity_a_summary_and_a_command(self) -> None:
        """
        Each alert has a severity, a sentence, and a command that shows details.
        """
        for rule in rules():
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert rule["annotations"]["summary"].endswith(".")
            assert re.search(r": (certworker|docker compose) \w+", rule["annotations"]["description"])

    def test_the_guide_lists_each(self) -> None:
        """
        The page and the file have the same alerts with the same severities.
        """
        listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", GUIDE.read_text(), re.M)

        assert listed == [(rule["alert"], rule["labels"]["severity"]) for rule in rules()]

    def test_promtool_accepts_them(self) -> None:
        """
        The check of Prometheus accepts the alerts, on a machine that has it.
        """
        if promtool := shutil.which("promtool"):
            checked = subprocess.run(
                [promtool, "check", "rules", RULES], capture_output=True, text=True, check=False
            )

            assert checked.returncode == 0, checked.stdout + checked.stderr


class TestDashboard:
    def test_it_uses_the_selected_data_source(self) -> None:
        """
        Each panel uses the data source that the user selects at the import.
        """
        dashboard = json.loads(DASHBOARD.read_text())

        assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource"]
        for panel in panels():
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["description"].endswith(".")

    def test_its_panels_do_not_overlap(self) -> None:
        """
        No panel overlaps another one, because Grafana would move it.
        """
        cells = [
            (x, y)
            for panel in panels()
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]

        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24
