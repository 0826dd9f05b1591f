"""
Names that move to another server, with real servers for DNS and HTTP, a real Redis and a real CA.

The clock of the app is simulated. The name servers and web servers use the real time.
"""

from __future__ import annotations

import json
from typing import Any

from certworker.app import App
from certworker.observability.events import EVENTS
from certworker.renewal.domain_status import DomainStatus, status_of
from certworker.runtime import build_moved_watch
from tests.scenarios.installation import NAME, Installation
from tests.scenarios.scenario import DAY, job
from tests.servers.web import always
from tests.simulation import Clock, Simulation

OTHER_NAME = f"www.{NAME}"
#: The address of the proxy in front of the app, and that of another server.
HERE, ELSEWHERE = "127.0.0.5", "127.0.0.6"

#: The notifications stay in the outbox, because no server has this address.
TARGET = {"_APP_DOMAIN_TARGET_A": HERE, "CERTWORKER_NOTIFY_URL": "http://127.0.0.1:9/"}


def set_target(installation: Installation) -> Installation:
    """
    Start a proxy in front of the app, point the name to it, and set it as the target of custom domains.
    """
    installation.settings |= TARGET
    installation.serve(installation.forward(), HERE)
    return installation


def in_service(installation: Installation, *names: str) -> App:
    """
    Return an app with a certificate for *names* in service; for the name of the installation by default.
    """
    app = installation.open()
    app.issuance.issue(names or (NAME,))
    return app


def move(installation: Installation, status: int = 404) -> None:
    """
    Point the name to another server, whose responses have *status*.
    """
    installation.serve(always(status), ELSEWHERE)


def watch(installation: Installation, app: App, days: int = 1) -> None:
    """
    Run the daily check of the names in service on *days* consecutive days, beginning today.
    """
    for day in range(days):
        if day:
            installation.elapsed += DAY
        assert 1 <= build_moved_watch(app).check()


def status(app: App, name: str = NAME) -> DomainStatus:
    """
    Return the status of *name*.
    """
    return status_of(name, app.agenda, app.records, app.certificates, app.clock())


def notifications(installation: Installation) -> list[tuple[str, str]]:
    """
    Return the kind and the code of each notification.
    """
    lines = installation.connection.lrange("certworker:outbox:hook", 0, -1)
    return [(each["kind"], each["code"]) for each in map(json.loads, lines)]


def events(installation: Installation, state: str) -> list[str]:
    """
    Return the names of the events with *state*.
    """
    entries: Any = installation.connection.xrange(EVENTS)
    found = [json.loads(fields[b"event"]) for _, fields in entries]
    return [each["name"] for each in found if each["state"] == state]


def run_due(installation: Installation, app: App) -> list[tuple[tuple[str, ...], str]]:
    """
    Run the jobs of the names that are due; return their names with the code of the failure, or the state.
    """
    app.due_names.enqueue()
    requests = list(Simulation(app, installation.authority, Clock()).requests())
    results = [(names, job(app, names[0])) for names in requests]
    return [(names, result.get("code") or result["state"]) for names, result in results]
