"""
Alerts for Prometheus, a dashboard for Grafana, and the page about metrics, against what a worker serves.
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

from certworker.observability.metrics import Counted, Metrics
from certworker.renewal.domain_status import STATES
from certworker.supervision import Heartbeat, Heartbeats

TOP = Path(__file__).parents[2]
RULES = TOP / "contrib" / "prometheus" / "rules.yml"
DASHBOARD = TOP / "contrib" / "grafana" / "certworker.json"
REFERENCE = TOP / "docs" / "reference" / "metrics.md"
GUIDE = TOP / "docs" / "guides" / "alerts.md"

Series = set[tuple[str, str, str]]


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    """
    The metrics of a worker in which everything has happened.
    """
    heartbeats = Heartbeats()
    heartbeat = Heartbeat("jobs", 30)
    heartbeat.beat()
    heartbeats.add(heartbeat)
    found = Metrics()
    found.job("failed", "http.404", 1)
    found.watch(
        queue_jobs=lambda: 1,
        certificates=lambda: [Counted("valid", 0.5, datetime(2026, 11, 23, tzinfo=UTC))],
        states=STATES,
    )
    found.watch_loops(heartbeats)
    found.watch_notifications(lambda: {"mail": 1})
    return found


@pytest.fixture(scope="module")
def served(metrics: Metrics) -> Series:
    """
    Each series: its name, and a label with its value.
    """
    return {
        (sample.name, label, value)
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        for label, value in (sample.labels or {"": ""}).items()
    }


def rules() -> list[dict[str, Any]]:
    """
    Every alert.
    """
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """
    Every panel of the dashboard.
    """
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    """
    Every query of the alerts and of the dashboard.
    """
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


class TestQueries:
    @pytest.mark.parametrize("expression", list(expressions()))
    def test_each_asks_for_a_series_that_is_served(self, expression: str, served: Series) -> None:
        """
        Each query uses names and values that certworker serves. Otherwise its alert never fires.
        """
        names = {name for name, _, _ in served}
        asked = re.findall(r"(certworker_\w+)(?:\{([^}]*)\})?", expression)

        assert asked
        for name, selector in asked:
            assert name in names
            for label, operator, value in re.findall(r'(\w+)(=|!=)"([^"]*)"', selector):
                assert operator == "!=" or (name, label, value) in served

    @pytest.mark.parametrize("expression", list(expressions()))
    def test_each_groups_by_labels_that_are_served(self, expression: str, served: Series) -> None:
        """
        Each query groups by labels that certworker serves. Otherwise all series become one.
        """
        labels = {label for _, label, _ in served} | {"instance"}

        for group in re.findall(r"\bby \(([^)]*)\)", expression):
            assert set(re.split(r",\s*", group)) <= labels

    @pytest.mark.parametrize("expression", list(expressions()))
    def test_what_every_worker_reports_is_never_added_up(self, expression: str) -> None:
        """
        Two workers on one Redis report the same names.
        """
        shared = (
            "notifications_waiting|certificates|certificate_remaining|failed_certificates|queue_jobs|earliest"
        )

        assert not re.search(rf"sum(?: by \([^)]*\))? \((?:certworker_)(?:{shared})", expression)
        assert not re.search(rf"\bsum\(certworker_(?:{shared})", expression)


class TestRules:
    def test_each_has_what_an_operator_needs(self) -> None:
        """
        A severity, a sentence, and the command that shows more.
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
        Prometheus' own check, on a machine that has it; the tests above need nothing.
        """
        if promtool := shutil.which("promtool"):
            checked = subprocess.run(
                [promtool, "check", "rules", RULES], capture_output=True, text=True, check=False
            )

            assert checked.returncode == 0, checked.stdout + checked.stderr


class TestDashboard:
    def test_it_asks_the_source_that_is_chosen(self) -> None:
        """
        An import elsewhere has other ids.
        """
        dashboard = json.loads(DASHBOARD.read_text())

        assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource"]
        for panel in panels():
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["description"].endswith(".")

    def test_its_panels_do_not_overlap(self) -> None:
        """
        Grafana would move them.
        """
        cells = [
            (x, y)
            for panel in panels()
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]

        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24


class TestReference:
    def test_it_lists_each_metric_with_its_type_and_labels(self, metrics: Metrics) -> None:
        """
        What is served and what is documented is the same.
        """
        rows = re.findall(r"^\| `(certworker_\w+)` \| ([\w ]+) \| ([^|]*)\|", REFERENCE.read_text(), re.M)
        listed = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}
        found: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(metrics.render().decode()):
            for sample in family.samples:
                name = re.sub(r"_(bucket|sum|count|gsum|gcount)$", "", sample.name)
                found.setdefault(name, set()).update(set(sample.labels) - {"le"})

        assert listed == found
