"""
A1: the settings.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from certworker.app import App
from tests.scenarios.scenario import DAY, Scene, play, played
from tests.scenarios.worlds import HERE, NAME, PUBLIC, Stage
from tests.servers.web import WebServer, always
from tests.storage.authority import Signer


def public(**settings: str) -> Callable[[Stage], object]:
    """
    A public CA, and these settings; the domain does not exist, but that is not what to tell first.
    """

    def build(stage: Stage) -> None:
        stage.settings |= PUBLIC | settings
        stage.name = "expired.org"

    return build


def web_page(stage: Stage) -> None:
    """
    The URL of the CA is that of its web site.
    """
    server = stage.stack.enter_context(WebServer(always(200, "<html>Welcome")))
    stage.settings["CERTWORKER_AUTHORITY"] = f"http://127.0.0.1:{server.port}/directory"


def issued_by_a_public_ca(stage: Stage) -> None:
    """
    Somebody tries something out, and the volume is that of production.
    """

    def store(app: App) -> None:
        stored = app.certificates.store(
            Signer().certificate(NAME), authority="letsencrypt", kind="public", token=1
        )
        app.certificates.mark_published(stored)

    stage.settings["CERTWORKER_AUTHORITY"] = "development"
    stage.arguments["force"] = True
    stage.before.append(store)


SCENES = [
    Scene(
        "a public CA outside production",
        "config.not_production",
        public(_APP_ENV="development"),
        "_APP_ENV=production",
        again=DAY,
        check="settings",
    ),
    Scene(
        "no e-mail address",
        "config.email_missing",
        public(_APP_EMAIL_CERTIFICATES=""),
        "_APP_EMAIL_CERTIFICATES=you@yourdomain",
        again=DAY,
        check="settings",
    ),
    Scene(
        "the e-mail address of an example",
        "config.email_invalid",
        public(_APP_EMAIL_CERTIFICATES="ops@example.com"),
        "_APP_EMAIL_CERTIFICATES",
        again=DAY,
        check="settings",
    ),
    Scene(
        "the URL of a web site",
        "config.wrong_ca_url",
        web_page,
        "CERTWORKER_AUTHORITY",
        shows="doctor",
    ),
    Scene(
        "the domain of this machine, for a public CA",
        "config.domain_localhost",
        lambda stage: stage.settings.update(PUBLIC, _APP_DOMAIN="localhost"),
        "_APP_DOMAIN",
        shows="doctor",
    ),
    Scene(
        "a CA of one's own after a public one",
        "config.would_replace_public",
        issued_by_a_public_ca,
        "CERTWORKER_AUTHORITY and _APP_ENV back",
        again=DAY,
    ),
    Scene(
        "another program at the port",
        "config.http_address",
        lambda stage: stage.stack.enter_context(socket.create_server((HERE, stage.http_port))),
        "CERTWORKER_HTTP_ADDRESS",
        shows="command",
    ),
    Scene(
        "a value that is not allowed",
        "config.invalid",
        lambda stage: stage.settings.update(CERTWORKER_CONCURRENCY="many"),
        "docker compose up -d",
        shows="doctor",
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells the variable.
    """
    play(scene, stage, caplog)
