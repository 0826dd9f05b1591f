"""
Scenarios of the loops of a worker: deployment check, reloads, hooks, notifications, and Appwrite's queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from certworker.after_issuance import published, start_after_issuance
from certworker.app import App
from certworker.devca.proxy import DevelopmentProxy
from certworker.integrations.appwrite.consumer import Consumer, Translator
from certworker.integrations.deploy_hook import DeployHook
from certworker.traefik.deployment_check import DeploymentCheck
from tests.scenarios.installation import HERE, NAME, Installation
from tests.scenarios.scenario import Scenario, attempt, check_scenario, each_scenario, job
from tests.servers.engine import Engine
from tests.servers.ports import free_port
from tests.servers.worker import wait_until

APPWRITE = "utopia-queue.queue.v1-certificates"


def traefik_at(port: Callable[[Installation], int]) -> Callable[[Installation], object]:
    """
    Return a step that publishes a certificate, and sets the address of Traefik to *port*.
    """

    def build(installation: Installation) -> None:
        installation.settings["CERTWORKER_PROXY_ADDRESS"] = f"{HERE}:{port(installation)}"
        installation.before.append(attempt(NAME))

    return build


def proxy_without_files(installation: Installation) -> int:
    """
    Start a proxy that serves its default certificate.
    """
    proxy = DevelopmentProxy(lambda _name: None)
    proxy.start()
    installation.stack.callback(proxy.stop)
    return proxy.port


def check_deployment(app: App) -> None:
    """
    Run the deployment check with a short timeout.
    """
    assert app.settings.proxy_address
    deployment_check = DeploymentCheck(
        app.certificates,
        app.traefik,
        app.settings.proxy_address,
        configured=True,
        write=lambda _name, _failure: None,
        grace_seconds=0.3,
        pause_seconds=0.05,
    )
    deployment_check.start()
    deployment_check.enqueue((NAME,))
    wait_until(
        lambda: any(pending.reported_at for pending in deployment_check._pending) or None,
        lambda: "nothing was reported",
    )
    deployment_check.stop()


def engine(refusing: str = "$^") -> Callable[[Installation], object]:
    """
    Return a step that starts an engine with one container, and sets another container in the settings.
    """

    def build(installation: Installation) -> None:
        running = installation.stack.enter_context(Engine({"web"}, refusing=refusing))
        installation.settings |= {
            "CERTWORKER_DOCKER_HOST": running.address,
            "CERTWORKER_RELOAD": "mail:restart",
        }

    return build


def reload(app: App) -> None:
    """
    Run the reloads that follow a new certificate.
    """
    settings = app.settings.model_copy(update={"proxy_address": None})
    with ExitStack() as stack:
        after, _ = start_after_issuance(
            *(settings, app.certificates, app.traefik, app.metrics, lambda _name, _failure: None),
            stack,
        )
        after(published)([NAME])


def failing_hook(installation: Installation) -> None:
    """
    Publish a certificate, and use a deploy hook that exits with code 1.
    """
    installation.settings["CERTWORKER_DEPLOY_HOOK"] = "/bin/false"
    installation.before.append(attempt(NAME))


def run_hook(app: App) -> None:
    """
    Run the deploy hook that follows a new certificate.
    """
    assert app.settings.deploy_hook
    hook = DeployHook(app.settings.deploy_hook, app.certificates)
    hook.after(lambda: {"state": "issued", "names": [NAME]})()
    hook.start()
    hook.stop()


def no_mail_server(installation: Installation) -> None:
    """
    Queue a notification for a mail server that is unreachable.
    """
    installation.settings |= {
        "_APP_EMAIL_CERTIFICATES": "ops@shop.org",
        "_APP_SMTP_HOST": HERE,
        "_APP_SMTP_PORT": str(free_port()),
    }
    installation.points_to("127.0.0.9")
    installation.before.append(lambda app: job(app, NAME))


def unknown_action(installation: Installation) -> None:
    """
    Send a message with an action of a later version of Appwrite.
    """
    payload = {"action": "teleport", "domain": {"domain": NAME}}
    message = {"pid": "1", "queue": "v1-certificates", "timestamp": 1, "payload": payload}
    installation.connection.lpush(APPWRITE, json.dumps(message))


def read_appwrite(app: App) -> None:
    """
    Process the messages of Appwrite's queue.
    """
    translator = Translator(
        request=lambda _name, _force: None,
        verify=lambda _name: None,
        unverified=lambda _name, _failure: None,
        private_names=True,
        wildcards=False,
    )
    Consumer(app.connection, app.settings.appwrite_queue, "on", translator)._pass()


SCENARIOS = [
    Scenario(
        "Traefik does not serve the published certificate",
        "proxy.default_cert",
        traefik_at(proxy_without_files),
        "--providers.file.watch=true",
        shows="loop",
        act=check_deployment,
    ),
    Scenario(
        "Traefik is not at the configured address",
        "proxy.unreachable",
        traefik_at(lambda _installation: free_port()),
        "CERTWORKER_PROXY_ADDRESS",
        shows="loop",
        act=check_deployment,
    ),
    Scenario(
        "a missing container",
        "reload.failed",
        engine(),
        "docker ps --all --filter name=mail",
        shows="loop",
        act=reload,
    ),
    Scenario(
        "a socket proxy that allows too little",
        "reload.refused",
        engine(refusing="restart"),
        "ALLOW_RESTARTS=1",
        shows="loop",
        act=reload,
    ),
    Scenario(
        "no Docker engine",
        "reload.engine",
        lambda installation: installation.settings.update(
            CERTWORKER_DOCKER_HOST=f"tcp://{HERE}:{free_port()}", CERTWORKER_RELOAD="mail:restart"
        ),
        "CERTWORKER_DOCKER_HOST",
        shows="loop",
        act=reload,
    ),
    Scenario(
        "no HAProxy at its socket",
        "reload.haproxy",
        lambda installation: installation.settings.update(
            CERTWORKER_RELOAD="haproxy+unix:///no/haproxy.sock"
        ),
        "ls -l /no/haproxy.sock",
        shows="loop",
        act=reload,
    ),
    Scenario(
        "a deploy hook that fails",
        "hook.failed",
        failing_hook,
        "CERTWORKER_DEPLOY_HOOK",
        shows="loop",
        act=run_hook,
    ),
    Scenario(
        "an unreachable mail server",
        "notice.undelivered",
        no_mail_server,
        "_APP_SMTP_HOST",
        shows="loop",
        act=lambda app: app.notifier.deliver("mail"),
    ),
    Scenario(
        "an action of a later Appwrite",
        "payload.action",
        unknown_action,
        "Send one of the known actions",
        shows="loop",
        act=read_appwrite,
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    A loop reports the problem and the remedy, and no job fails.
    """
    check_scenario(scenario, installation, caplog)
