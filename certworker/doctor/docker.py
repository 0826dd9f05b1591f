"""
Docker, where the worker may ask it: whether Traefik runs, is reached from outside, and reads our files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from certworker.doctor.findings import Finding
from certworker.doctor.storage import MACHINE
from certworker.errors import CertworkerError
from certworker.errors.reload import ListingRefused
from certworker.integrations.docker.client import DockerClient
from certworker.integrations.docker.container import Container
from certworker.settings import Settings

#: Compose gives these to each container that it makes.
SERVICE = "com.docker.compose.service"
PROJECT = "com.docker.compose.project"

DOCKER, TRAEFIK = "Docker", "Traefik"
PORTS, VOLUMES = "Traefik's ports", "Traefik's volumes"

HTTPS = 443


def docker_findings(settings: Settings, host_name: str) -> Iterator[Finding]:
    """
    What the engine knows; nothing where nobody has named it.

    Args:
        host_name: Of this machine, by which an engine finds the container that it is.
    """
    named = "docker_host" in settings.model_fields_set
    if not (named or settings.reloads or settings.docker_labels):
        return
    try:
        containers = DockerClient(settings.docker_host).all()
    except ListingRefused as refused:
        if settings.docker_labels:
            yield MACHINE.failure(DOCKER, refused)
        else:
            # As it should be: a reload needs no list.
            text = (
                f"{settings.docker_host} lets nothing be listed; for a look at Traefik: GET /containers/json"
            )
            yield MACHINE.skip(DOCKER, text)
        return
    except CertworkerError as failure:
        yield MACHINE.failure(DOCKER, failure)
        return
    count = sum(container.state == "running" for container in containers)
    yield MACHINE.ok(DOCKER, f"{settings.docker_host} answers, {count} containers run")
    if settings.proxy_address:
        # The host name that an engine gives to a container, unless somebody has chosen another one.
        own = next((each for each in containers if each.id[:12] == host_name), None)
        yield from _proxy(settings, settings.proxy_address.host, containers, own)


def _proxy(
    settings: Settings, host: str, containers: Sequence[Container], own: Container | None
) -> Iterator[Finding]:
    traefik = _traefik(containers, host, own)
    if traefik is None:
        remedy = "If it runs elsewhere, set CERTWORKER_PROXY_ADDRESS to its address there, or to off"
        yield MACHINE.warn(TRAEFIK, f"No container is called {host} or has its image.", remedy)
        return
    if traefik.state != "running":
        remedy = "See why: docker compose logs traefik. Then start it: docker compose up -d traefik"
        yield MACHINE.fail(TRAEFIK, f"{traefik.name} does not run ({traefik.state}).", remedy)
        return
    yield MACHINE.ok(TRAEFIK, f"{traefik.name} runs")
    yield _ports(traefik, (settings.http01_port, HTTPS))
    if own is None:
        yield MACHINE.skip(VOLUMES, "no container has the host name of this machine")
    else:
        yield _volumes(traefik, own, (settings.certificates_dir, settings.config_dir))


def _traefik(containers: Sequence[Container], host: str, own: Container | None) -> Container | None:
    called = [each for each in containers if host in (each.name, each.labels.get(SERVICE))]
    found = called or [each for each in containers if _image_name(each).startswith("traefik")]
    beside = [each for each in found if own and each.labels.get(PROJECT) == own.labels.get(PROJECT)]
    # What runs comes first; the order is kept otherwise.
    return min(beside or found, key=lambda each: each.state != "running", default=None)


def _image_name(container: Container) -> str:
    return container.image.rpartition("/")[2]


def _ports(traefik: Container, wanted: Sequence[int]) -> Finding:
    open_ports = {each.port for each in traefik.published if not ip_address(each.address).is_loopback}
    missing = [port for port in wanted if port not in open_ports]
    if traefik.on_host_network or not missing:
        return MACHINE.ok(PORTS, " and ".join(map(str, wanted)))
    published = sorted({f"{each.address}:{each.port}" for each in traefik.published})
    return MACHINE.warn(
        PORTS,
        f"Port {' and '.join(map(str, missing))} of this machine does not lead to it; "
        f"it publishes {', '.join(published) or 'none'}.",
        'Unless something else passes them on, write "80:80" and "443:443" under ports: of Traefik in '
        "docker-compose.yml, then run: docker compose up -d traefik",
    )


def _volumes(traefik: Container, own: Container, directories: Sequence[Path]) -> Finding:
    for directory in directories:
        ours, theirs = own.mount_source(directory), traefik.mount_source(directory)
        if ours is None or ours != theirs:
            return MACHINE.fail(
                VOLUMES,
                f"At {directory} it has {theirs or 'nothing'}, and this container {ours or 'nothing'}: what "
                "is written here is not what it reads.",
                f"Mount one volume at {directory} in both services of docker-compose.yml, then run: "
                "docker compose up -d",
            )
    return MACHINE.ok(VOLUMES, "the same as here")
