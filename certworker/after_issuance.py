"""
Starts what follows each publication: reloads of other servers, the deploy hook, and the deployment check.

They follow each certificate that a job puts into service or that another host sends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial, reduce
from typing import Any

from certworker.errors import CertworkerError
from certworker.integrations.deploy_hook import DeployHook
from certworker.integrations.docker.client import DockerClient
from certworker.integrations.docker.reloader import RELOAD_LABEL, Reloader
from certworker.integrations.haproxy.certificates import HaproxyCertificates
from certworker.observability.metrics.registry import Metrics
from certworker.settings import Settings
from certworker.settings.reload import HaproxySocket, Target
from certworker.storage.certificate_store import CertificateStore
from certworker.supervision import Loop
from certworker.traefik.config import TraefikConfig
from certworker.traefik.deployment_check import DeploymentCheck

Issue = Callable[..., dict[str, Any]]


def published(names: Sequence[str]) -> dict[str, Any]:
    """
    Return the result of the publication of *names*, whose certificate another host has sent.
    """
    return {"state": "issued", "names": list(names)}


def start_after_issuance(
    settings: Settings,
    certificates: CertificateStore,
    traefik: TraefikConfig,
    metrics: Metrics,
    record_deployment: Callable[[str, CertworkerError | None], None],
    stack: ExitStack,
) -> tuple[Callable[[Issue], Issue], list[Loop]]:
    """
    Start the loops for the actions that *settings* require after each publication.

    Args:
        settings: The settings from the environment.
        certificates: The certificates on the volume.
        traefik: The files for Traefik.
        metrics: Gets the delays of the proxy.
        record_deployment: Called with a name and the reason why its certificate is not served. After such a
            call, it is called with None as the reason when the certificate is served.
        stack: Stops the loops when it ends.

    Returns:
        A decorator and the loops. The decorator takes a function that returns the state and the names of a
        publication. The decorated function also starts the actions.
    """
    actions, loops = list[Callable[[Issue], Issue]](), list[Loop]()
    if settings.reloads or settings.docker_labels:
        containers = DockerClient(settings.docker_host)
        labeled = partial(containers.running, RELOAD_LABEL) if settings.docker_labels else list
        reload = partial(_reload, containers, HaproxyCertificates(certificates))
        reloader = Reloader(settings.reloads, reload, labeled)
        reloader.start()
        loops.append(reloader.loop)
        stack.callback(reloader.stop)
        actions.append(reloader.after)
    if settings.deploy_hook:
        hook = DeployHook(settings.deploy_hook, certificates)
        hook.start()
        loops.append(hook.loop)
        stack.callback(hook.stop)
        actions.append(hook.after)
    if settings.proxy_address:

        def observe(seconds: float) -> None:
            metrics.proxy_delay(seconds)
            traefik.load.served(seconds)

        deployment_check = DeploymentCheck(
            certificates,
            traefik,
            settings.proxy_address,
            configured="proxy_address" in settings.model_fields_set,
            write=record_deployment,
            observe=observe,
        )
        metrics.watch_publications(deployment_check.oldest_unserved)
        deployment_check.start()
        loops.append(deployment_check.loop)
        stack.callback(deployment_check.stop)
        actions.append(deployment_check.after)
    return lambda issue: reduce(lambda function, after: after(function), actions, issue), loops


def _reload(containers: DockerClient, haproxy: HaproxyCertificates, target: Target) -> None:
    if isinstance(target, HaproxySocket):
        haproxy.update(target)
    else:
        containers.reload(target)
