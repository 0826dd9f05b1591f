"""
Scenarios of the settings.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from certworker.app import App
from tests.scenarios.installation import HERE, NAME, PUBLIC, Installation
from tests.scenarios.scenario import DAY, Scenario, check_scenario, each_scenario
from tests.servers.web import WebServer, always
from tests.storage.authority import Signer


def public(**settings: str) -> Callable[[Installation], object]:
    """
    Return a step that uses a public CA and *settings*. certworker reports them before the missing domain.
    """

    def build(installation: Installation) -> None:
        installation.settings |= PUBLIC | settings
        installation.name = "expired.org"

    return build


def web_page(installation: Installation) -> None:
    """
    Set the URL of the CA to the URL of its website.
    """
    server = installation.stack.enter_context(WebServer(always(200, "<html>Welcome")))
    installation.settings["CERTWORKER_AUTHORITY"] = f"http://127.0.0.1:{server.port}/directory"


def issued_by_a_public_ca(installation: Installation) -> None:
    """
    Use the development CA with a volume that has a certificate of a public CA.
    """

    def store(app: App) -> None:
        stored = app.certificates.store(
            Signer().certificate(NAME), authority="letsencrypt", kind="public", token=1
        )
        app.certificates.mark_published(stored)

    installation.settings["CERTWORKER_AUTHORITY"] = "development"
    installation.arguments["force"] = True
    installation.before.append(store)


SCENARIOS = [
    Scenario(
        "a public CA outside production",
        "config.not_production",
        public(_APP_ENV="development"),
        "_APP_ENV=production",
        retry_after=DAY,
        check="settings",
    ),
    Scenario(
        "no e-mail address",
        "config.email_missing",
        public(_APP_EMAIL_CERTIFICATES=""),
        "_APP_EMAIL_CERTIFICATES=you@yourdomain",
        retry_after=DAY,
        check="settings",
    ),
    Scenario(
        "an e-mail address at an example domain",
        "config.email_invalid",
        public(_APP_EMAIL_CERTIFICATES="ops@example.com"),
        "_APP_EMAIL_CERTIFICATES",
        retry_after=DAY,
        check="settings",
    ),
    Scenario(
        "the URL of a website",
        "config.wrong_ca_url",
        web_page,
        "CERTWORKER_AUTHORITY",
        shows="doctor",
    ),
    Scenario(
        "the domain of this machine, for a public CA",
        "config.domain_localhost",
        lambda installation: installation.settings.update(PUBLIC, _APP_DOMAIN="localhost"),
        "_APP_DOMAIN",
        shows="doctor",
    ),
    Scenario(
        "the development CA after a public one",
        "config.would_replace_public",
        issued_by_a_public_ca,
        "CERTWORKER_AUTHORITY and _APP_ENV back",
        retry_after=DAY,
    ),
    Scenario(
        "another program at the port",
        "config.http_address",
        lambda installation: installation.stack.enter_context(
            socket.create_server((HERE, installation.http_port))
        ),
        "CERTWORKER_HTTP_ADDRESS",
        shows="command",
    ),
    Scenario(
        "a value that is not allowed",
        "config.invalid",
        lambda installation: installation.settings.update(CERTWORKER_CONCURRENCY="many"),
        "docker compose up -d",
        shows="doctor",
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The remedy names the variable.
    """
    check_scenario(scenario, installation, caplog)
