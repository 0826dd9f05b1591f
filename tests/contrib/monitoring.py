"""
The alerts for Prometheus and the dashboard for Grafana, as the tests read them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).parents[2]
ALERTS = TOP / "contrib" / "prometheus" / "alerts.yml"
DASHBOARD = TOP / "contrib" / "grafana" / "certworker.json"

#: The values of Grafana's variables: those of a dashboard in its first state, with one name.
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$name": ".+"}

SELECTOR = re.compile(r"((?:certworker|process|python)_\w+)(?:\{([^}]*)\})?")


def alerts() -> list[dict[str, Any]]:
    """
    Return each alert.
    """
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """
    Return the dashboard.
    """
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    """
    Return each panel of the dashboard that has queries.
    """
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[str]:
    """
    Yield each query of the dashboard, with values for its variables.
    """
    for panel in panels():
        for target in panel["targets"]:
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            yield query


def expressions() -> list[str]:
    """
    Return each query of the alerts and of the dashboard.
    """
    return [*(rule["expr"] for rule in alerts()), *queries()]


def selectors(expression: str) -> list[str]:
    """
    Return each metric of *expression* with its selector.
    """
    return [found[0] for found in SELECTOR.finditer(expression)]
