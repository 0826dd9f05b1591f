"""
What a worker does beside its jobs: it asks Traefik, tells containers, writes letters, reads Appwrite's queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from certworker.app import App
from certworker.devca.proxy import DevelopmentProxy
from certworker.integrations.appwrite.consumer import Consumer, Translator
from certworker.integrations.deploy_hook import DeployHook
from certworker.integrations.docker.client import DockerClient
from certworker.integrations.docker.reloader import Reloader
from certworker.traefik.deployment_check import DeploymentCheck
from tests.scenarios.scenario import Scene, job, play, played, tried
from tests.scenarios.worlds import HERE, NAME, Stage
from tests.servers.engine import Engine
from tests.servers.ports import free_port
from tests.servers.worker import wait_until

APPWRITE = "utopia-queue.queue.v1-certificates"


def traefik_at(port: Callable[[Stage], int]) -> Callable[[Stage], object]:
    """
    A certificate was published, and Traefik is said to be at that port.
    """

    def build(stage: Stage) -> None:
        stage.settings["CERTWORKER_PROXY_ADDRESS"] = f"{HERE}:{port(stage)}"
        stage.before.append(tried(NAME))

    return build


def a_proxy_without_files(stage: Stage) -> int:
    """
    It shows its default.
    """
    proxy = DevelopmentProxy(lambda _name: None)
    proxy.start()
    stage.stack.callback(proxy.stop)
    return proxy.port


def ask_traefik(app: App) -> None:
    """
    What follows a publication, with less patience.
    """
    assert app.settings.proxy_address
    deployment_check = DeploymentCheck(
        app.certificates,
        app.traefik,
        app.settings.proxy_address,
        demanded=True,
        write=lambda _name, _failure: None,
        patience_seconds=0.3,
        pause_seconds=0.05,
    )
    deployment_check.start()
    deployment_check.enqueue((NAME,))
    wait_until(
        lambda: any(pending.reported_at for pending in deployment_check._pending) or None,
        lambda: "nothing was reported",
    )
    deployment_check.stop()


def engine(refusing: str = "$^") -> Callable[[Stage], object]:
    """
    An engine with one container that runs, and a setting that speaks of another one.
    """

    def build(stage: Stage) -> None:
        running = stage.stack.enter_context(Engine({"web"}, refusing=refusing))
        stage.settings |= {"CERTWORKER_DOCKER_HOST": running.address, "CERTWORKER_RELOAD": "mail:restart"}

    return build


def reload(app: App) -> None:
    """
    What follows a new certificate.
    """
    reloads = Reloader(app.settings.reloads, DockerClient(app.settings.docker_host).reload)
    reloads.start()
    reloads.enqueue()
    reloads.stop()


def failing_hook(stage: Stage) -> None:
    """
    A certificate was published, and the deploy hook ends with exit code 1.
    """
    stage.settings["CERTWORKER_DEPLOY_HOOK"] = "/bin/false"
    stage.before.append(tried(NAME))


def run_hook(app: App) -> None:
    """
    Do what follows a new certificate.
    """
    assert app.settings.deploy_hook
    hook = DeployHook(app.settings.deploy_hook, app.certificates)
    hook.after(lambda: {"state": "issued", "names": [NAME]})()
    hook.start()
    hook.stop()


def no_mail_server(stage: Stage) -> None:
    """
    There is a letter to send, and nobody to hand it to.
    """
    stage.settings |= {
        "_APP_EMAIL_CERTIFICATES": "ops@shop.org",
        "_APP_SMTP_HOST": HERE,
        "_APP_SMTP_PORT": str(free_port()),
    }
    stage.points_to("127.0.0.9")
    stage.before.append(lambda app: job(app, NAME))


def an_unknown_action(stage: Stage) -> None:
    """
    The core of a later version wants something new.
    """
    payload = {"action": "teleport", "domain": {"domain": NAME}}
    message = {"pid": "1", "queue": "v1-certificates", "timestamp": 1, "payload": payload}
    stage.connection.lpush(APPWRITE, json.dumps(message))


def read_appwrite(app: App) -> None:
    """
    Empty Appwrite's queue once.
    """
    translator = Translator(
        request=lambda _name, _force: None,
        verify=lambda _name: None,
        unverified=lambda _name, _failure: None,
        private_names=True,
        wildcards=False,
    )
    Consumer(app.connection, app.settings.appwrite_queue, "on", translator)._pass()


SCENES = [
    Scene(
        "Traefik does not show what was published",
        "proxy.default_cert",
        traefik_at(a_proxy_without_files),
        "--providers.file.watch=true",
        shows="beside",
        act=ask_traefik,
    ),
    Scene(
        "Traefik is not where it is said to be",
        "proxy.unreachable",
        traefik_at(lambda _stage: free_port()),
        "CERTWORKER_PROXY_ADDRESS",
        shows="beside",
        act=ask_traefik,
    ),
    Scene(
        "a container that is not there",
        "reload.failed",
        engine(),
        "docker ps --all --filter name=mail",
        shows="beside",
        act=reload,
    ),
    Scene(
        "a socket proxy that allows too little",
        "reload.refused",
        engine(refusing="restart"),
        "ALLOW_RESTARTS=1",
        shows="beside",
        act=reload,
    ),
    Scene(
        "no engine",
        "reload.engine",
        lambda stage: stage.settings.update(
            CERTWORKER_DOCKER_HOST=f"tcp://{HERE}:{free_port()}", CERTWORKER_RELOAD="mail:restart"
        ),
        "CERTWORKER_DOCKER_HOST",
        shows="beside",
        act=reload,
    ),
    Scene(
        "a deploy hook that fails",
        "hook.failed",
        failing_hook,
        "CERTWORKER_DEPLOY_HOOK",
        shows="beside",
        act=run_hook,
    ),
    Scene(
        "a mail server that is away",
        "notice.undelivered",
        no_mail_server,
        "_APP_SMTP_HOST",
        shows="beside",
        act=lambda app: app.notifier.deliver("mail"),
    ),
    Scene(
        "an action of a later Appwrite",
        "payload.action",
        an_unknown_action,
        "Send one of the known actions",
        shows="beside",
        act=read_appwrite,
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells whom to mend; no job has failed by it.
    """
    play(scene, stage, caplog)
