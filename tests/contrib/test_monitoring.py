"""
The alerts for Prometheus and the dashboard for Grafana match the metrics of a worker, and their guides.
"""

from __future__ import annotations

import re

import pytest

from certworker.observability.metrics.families import FAMILIES
from certworker.observability.metrics.registry import Metrics
from tests.contrib.monitoring import ALERTS, TOP, alerts, dashboard, expressions, panels, selectors
from tests.documentation import DOCS
from tests.observability.metrics.scrapes import samples
from tests.servers.prometheus import promtool
from tests.test_documentation import anchors

GUIDE = DOCS / "guides" / "alerts.md"
SUFFIXES = {
    "counter": ("_total",),
    "info": ("_info",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge histogram": ("_bucket", "_gsum", "_gcount"),
}
#: The labels of each series, apart from those that Prometheus adds.
LABELS = {
    family.name + suffix: {*family.labels, *(["le"] if suffix == "_bucket" else [])}
    for family in FAMILIES
    for suffix in SUFFIXES[family.type]
}
#: The series that all workers report with the same values.
SHARED = {family.name + suffix for family in FAMILIES if not family.own for suffix in SUFFIXES[family.type]}


@pytest.fixture(scope="module", autouse=True)
def _process_metrics() -> None:
    found = Metrics()
    found.watch_process()
    for name, labels in samples(found):
        LABELS.setdefault(name, set()).update(dict(labels))


class TestQueries:
    def test_each_uses_a_series_that_certworker_serves(self) -> None:
        """
        Each query uses names and labels that certworker serves.
        """
        for expression in expressions():
            found = selectors(expression)

            assert found, expression
            for selector in found:
                name, _, labels = selector.partition("{")
                assert set(re.findall(r"(\w+)[!=]", labels)) <= LABELS[name] | {"instance"}, expression

    def test_each_groups_by_labels_that_certworker_serves(self) -> None:
        """
        Each query groups by labels that its series have.
        """
        for expression in expressions():
            labels = set.union(*(LABELS[each.partition("{")[0]] for each in selectors(expression)))

            for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
                assert set(filter(None, re.split(r",\s*", group))) <= labels | {"instance"}, expression

    def test_a_value_of_all_workers_is_never_added(self) -> None:
        """
        No query adds values that each worker with the same Redis reports.
        """
        added = r"\bsum(?: by \([^)]*\))? ?\((?:rate\()?(certworker_\w+)"

        assert [] == [
            expression for expression in expressions() if SHARED.intersection(re.findall(added, expression))
        ]


class TestAlerts:
    def test_each_has_a_severity_a_summary_and_a_command(self) -> None:
        """
        Each alert has a severity, a sentence, and a command that shows details.
        """
        for rule in alerts():
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert rule["annotations"]["summary"].endswith(".")
            assert re.search(r": (certworker|docker compose) \w+", rule["annotations"]["description"])

    def test_the_guide_lists_each(self) -> None:
        """
        The page and the file have the same alerts with the same severities.
        """
        listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", GUIDE.read_text(), re.M)

        assert listed == [(rule["alert"], rule["labels"]["severity"]) for rule in alerts()]

    @pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
    def test_each_has_a_runbook(self, rule: dict[str, dict[str, str]]) -> None:
        """
        The URL of the runbook leads to the section of the alert in the guide.
        """
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        path = page.removeprefix("https://github.com/certworker/certworker/blob/main/")

        assert TOP / path == GUIDE
        assert anchor == str(rule["alert"]).lower()
        assert anchor in anchors(GUIDE)

    def test_no_alert_has_a_number_of_days(self) -> None:
        """
        Each threshold suits every lifetime: there is no time of a certificate in seconds, and no day.
        """
        for rule in alerts():
            assert "timestamp" not in rule["expr"]
            assert not re.search(r"\d+[dw]", rule["expr"] + rule.get("for", ""))

    def test_promtool_accepts_them(self) -> None:
        """
        The check of Prometheus accepts the alerts.
        """
        assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", ALERTS)


class TestDashboard:
    def test_it_uses_the_selected_data_source(self) -> None:
        """
        Each panel uses the data source that the user selects at the import.
        """
        assert ["datasource", "instance", "name"] == [
            each["name"] for each in dashboard()["templating"]["list"]
        ]
        for panel in panels():
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["description"].endswith(".")
            assert {"${datasource}"} == {target["datasource"]["uid"] for target in panel["targets"]}

    def test_each_query_follows_the_selected_worker(self) -> None:
        """
        Each selector has the variable of the worker, except those that an `on (instance)` restricts.
        """
        for panel in panels():
            for target in panel["targets"]:
                assert 'instance=~"$instance"' in target["expr"]

    def test_its_panels_do_not_overlap(self) -> None:
        """
        No panel overlaps another one, because Grafana would move it.
        """
        cells = [
            (x, y)
            for panel in dashboard()["panels"]
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]

        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24

    def test_each_panel_has_its_own_id_and_title(self) -> None:
        """
        Ids and titles are unique.
        """
        for field in ("id", "title"):
            values = [panel[field] for panel in dashboard()["panels"]]

            assert len(values) == len(set(values))
