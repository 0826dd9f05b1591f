"""
The Prometheus of the profile `monitoring` scrapes the worker and evaluates the alerts.

Debian has no package of Grafana, so no test starts the Grafana of the profile without a registry.
"""

from __future__ import annotations

import json
from typing import Any

from tests.containers.certification import ContainedPebble
from tests.containers.project import PAUSE_SECONDS, WORKER, Project
from tests.contrib.monitoring import alerts
from tests.servers.worker import wait_until

#: Prometheus scrapes every 30 seconds, and evaluates its rules as often.
PATIENCE_SECONDS = 150.0

#: A program that prints what the API of Prometheus returns for a path.
ASK = """
import sys, urllib.request
print(urllib.request.urlopen("http://prometheus:9090/api/v1/" + sys.argv[1], timeout=10).read().decode())
"""


def ask(project: Project, path: str) -> Any:
    """
    Return the data of the API of Prometheus at *path*, as the worker reaches it; None before it responds.
    """
    ended = project.attempt("exec", "--no-TTY", WORKER, "python3", "-c", ASK, path)
    return json.loads(ended.stdout)["data"] if ended.returncode == 0 else None


class TestMonitoring:
    def test_prometheus_scrapes_the_worker_and_evaluates_the_alerts(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        The profile needs only the variables of the guide. Each alert is loaded and evaluated.
        """
        project.settings |= {"COMPOSE_PROFILES": "monitoring", "CERTWORKER_METRICS_ADDRESS": "0.0.0.0:8081"}
        pebble.start()
        project.up(WORKER, "traefik", "prometheus")
        project.wait_for_line("main.internal: certificate issued")

        def scraped() -> Any:
            found = ask(project, "query?query=certworker_jobs_total%7Boutcome=%22issued%22%7D")
            return (found and found["result"]) or None

        def evaluated() -> list[Any] | None:
            groups = (ask(project, "rules") or {}).get("groups", [])
            rules = [rule for group in groups for rule in group["rules"]]
            return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

        def problem() -> str:
            return f"{ask(project, 'targets')}\n{project.logs(service='prometheus')}"

        (job,) = wait_until(scraped, problem, PATIENCE_SECONDS, pause_seconds=PAUSE_SECONDS)
        rules = wait_until(evaluated, problem, PATIENCE_SECONDS, pause_seconds=PAUSE_SECONDS)

        assert ("issued", "certworker") == (job["metric"]["outcome"], job["metric"]["job"])
        assert {rule["alert"] for rule in alerts()} == {rule["name"] for rule in rules}
        assert {"ok"} == {rule["health"] for rule in rules}
