"""
The checks of Docker and of Traefik's container, if a setting needs Docker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from certworker.doctor.findings import MACHINE, Finding
from certworker.errors import CertworkerError
from certworker.errors.reload import ListingRefused
from certworker.integrations.docker.client import DockerClient
from certworker.integrations.docker.container import Container
from certworker.settings import Settings
from certworker.settings.reload import Reload

#: Labels of each container that Compose creates.
SERVICE = "com.docker.compose.service"
PROJECT = "com.docker.compose.project"

DOCKER, TRAEFIK = "Docker", "Traefik"
PORTS, VOLUMES = "Traefik's ports", "Traefik's volumes"

HTTPS = 443


def docker_findings(settings: Settings, host_name: str) -> Iterator[Finding]:
    """
    Yield the findings about Docker and Traefik; none if no setting needs Docker.

    Args:
        settings: The settings.
        host_name: The host name of this machine. In a container, it is usually the beginning of the
            container's id.
    """
    named = "docker_host" in settings.model_fields_set
    has_reloads = any(isinstance(target, Reload) for target in settings.reloads)
    if not (named or has_reloads or settings.docker_labels):
        return
    try:
        containers = DockerClient(settings.docker_host).all()
    except ListingRefused as refused:
        if settings.docker_labels:
            yield MACHINE.failure(DOCKER, refused)
        else:
            # A reload needs no list, so a proxy for the Docker socket that refuses the list is
            # configured correctly.
            text = f"{settings.docker_host} does not allow GET /containers/json, which this check needs"
            yield MACHINE.skip(DOCKER, text)
        return
    except CertworkerError as failure:
        yield MACHINE.failure(DOCKER, failure)
        return
    count = sum(container.state == "running" for container in containers)
    yield MACHINE.ok(DOCKER, f"{settings.docker_host} responds; running containers: {count}")
    if settings.proxy_address:
        # The host name of a container is the beginning of its id, unless the configuration sets another one.
        own = next((container for container in containers if container.id[:12] == host_name), None)
        yield from _proxy(settings, settings.proxy_address.host, containers, own)


def _proxy(
    settings: Settings, host: str, containers: Sequence[Container], own: Container | None
) -> Iterator[Finding]:
    traefik = _traefik(containers, host, own)
    if traefik is None:
        remedy = "If Traefik runs elsewhere, set CERTWORKER_PROXY_ADDRESS to its address there, or to off"
        yield MACHINE.warn(TRAEFIK, f"No container has the name {host} or a Traefik image.", remedy)
        return
    if traefik.state != "running":
        remedy = "See why: docker compose logs traefik. Then start it: docker compose up -d traefik"
        yield MACHINE.fail(TRAEFIK, f"{traefik.name} is not running ({traefik.state}).", remedy)
        return
    yield MACHINE.ok(TRAEFIK, f"{traefik.name} is running")
    yield _ports(traefik, (settings.http01_port, HTTPS))
    if own is None:
        yield MACHINE.skip(VOLUMES, "no container has an id that begins with the host name of this machine")
    else:
        yield _volumes(traefik, own, (settings.certificates_dir, settings.config_dir))


def _traefik(containers: Sequence[Container], host: str, own: Container | None) -> Container | None:
    named = [each for each in containers if host in (each.name, each.labels.get(SERVICE))]
    found = named or [each for each in containers if _image_name(each).startswith("traefik")]
    same_project = [each for each in found if own and each.labels.get(PROJECT) == own.labels.get(PROJECT)]
    # The first running container, otherwise the first container.
    return min(same_project or found, key=lambda each: each.state != "running", default=None)


def _image_name(container: Container) -> str:
    return container.image.rpartition("/")[2]


def _ports(traefik: Container, required: Sequence[int]) -> Finding:
    open_ports = {each.port for each in traefik.published if not each.address.is_loopback}
    missing = [port for port in required if port not in open_ports]
    if traefik.on_host_network or not missing:
        return MACHINE.ok(PORTS, " and ".join(map(str, required)))
    mappings = " and ".join(f'"{port}:{port}"' for port in missing)
    published = sorted({f"{each.address}:{each.port}" for each in traefik.published})
    return MACHINE.warn(
        PORTS,
        f"Traefik does not publish port {' or '.join(map(str, missing))} for other machines; "
        f"it publishes {', '.join(published) or 'no port'}.",
        f"Unless another program forwards {'it' if len(missing) == 1 else 'them'}, add {mappings} under "
        "ports: of Traefik in the Compose file, then run: docker compose up -d traefik",
    )


def _volumes(traefik: Container, own: Container, directories: Sequence[Path]) -> Finding:
    for directory in directories:
        source, of_traefik = own.mount_source(directory), traefik.mount_source(directory)
        if source is None or source != of_traefik:
            return MACHINE.fail(
                VOLUMES,
                f"At {directory}, Traefik has {of_traefik or 'nothing'}, and this container has "
                f"{source or 'nothing'}. Traefik does not read the files that certworker writes.",
                f"Mount one volume at {directory} in both services of the Compose file, then run: "
                "docker compose up -d",
            )
    return MACHINE.ok(VOLUMES, "the same as here")
