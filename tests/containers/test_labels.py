"""
Labels of containers and the checks of the doctor, through a socket proxy and a real engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.certification import ContainedPebble
from tests.containers.docker import Docker
from tests.containers.images import PYTHON
from tests.containers.project import TOP, WORKER, Project
from tests.containers.test_reloads import SERVER
from tests.servers.worker import wait_until

#: The guide with the requests that a socket proxy allows: lists and reloads.
GUIDE = TOP / "docs" / "guides" / "reload-other-servers.md"
LISTS, RELOADS = (
    f"{method} {pattern}" for method, pattern in re.findall(r"-allow(GET|POST)=(\S+)", GUIDE.read_text())
)
VERSION = "GET /version"

Start = Callable[..., str]


@pytest.fixture
def start(docker: Docker, network: str) -> Iterator[Start]:
    """
    Return a function that starts a server with labels on the network of the project, and returns its name.
    """
    started: list[str] = []

    def start(name: str, **labels: str) -> str:
        given = [word for label, text in labels.items() for word in ("--label", f"certworker.{label}={text}")]
        full_name = f"{network}-{name}"
        started.append(full_name)
        docker(
            "run",
            "--detach",
            "--network",
            network,
            "--name",
            full_name,
            *given,
            PYTHON,
            "python3",
            "-c",
            SERVER,
        )
        return full_name

    yield start
    for name in started:
        docker("rm", "--force", name)


@pytest.fixture
def allow(docker: Docker, project: Project, tmp_path: Path) -> Callable[..., None]:
    """
    Return a function that adds a socket proxy with allowed requests to the project, as in the guide.
    """

    def allow(*allowed: str) -> None:
        socket = docker.variables.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
        script = Path(__file__).parent / "socket_proxy.py"
        service = {
            "image": PYTHON,
            "command": ["python3", "/socket_proxy.py", *allowed],
            "volumes": [f"{socket}:/var/run/docker.sock", f"{script}:/socket_proxy.py:ro"],
        }
        override = tmp_path / "socket-proxy.yml"
        override.write_text(json.dumps({"services": {"socket-proxy": service}}))
        project.also(override)
        project.settings["CERTWORKER_DOCKER_HOST"] = "tcp://socket-proxy:2375"

    return allow


def findings(project: Project) -> dict[str, dict[str, str]]:
    """
    Return the lines of the doctor in the worker's container by their subjects.
    """
    report = project.attempt("exec", "--no-TTY", WORKER, "certworker", "doctor", "--json").stdout
    return {line["subject"]: line for line in map(json.loads, report.splitlines())}


class TestLabels:
    def test_a_container_gets_its_certificate_and_a_reload(
        self,
        docker: Docker,
        network: str,
        project: Project,
        pebble: ContainedPebble,
        start: Start,
        allow: Callable[..., None],
    ) -> None:
        """
        A container that starts before the worker and one that starts later each get a certificate and a
        reload.
        """
        pebble.start()
        allow(LISTS, RELOADS.replace("nginx", f"{network}-later"))
        project.settings["CERTWORKER_DOCKER_LABELS"] = "true"
        earlier = start("earlier", domains="one.internal,two.internal")
        project.up()
        project.wait_for_line("one.internal: certificate issued")
        project.wait_for_line("two.internal: certificate issued")
        later = start("later", domains="three.internal", reload="HUP")
        project.wait_for_line(f"three.internal: requested by the container {later}")
        project.wait_for_line("three.internal: certificate issued")
        project.wait_for_line(f"{later}:HUP: reloaded")
        wait_until(lambda: "read again" in docker("logs", later) or None, lambda: docker("logs", later))

        assert "read again" not in docker("logs", earlier)
        assert project.visit("three.internal") != project.visit("one.internal")
        assert " WARN" not in project.logs()

    def test_a_proxy_that_denies_lists_is_reported_once(
        self,
        network: str,
        project: Project,
        pebble: ContainedPebble,
        start: Start,
        allow: Callable[..., None],
    ) -> None:
        """
        The worker reports a proxy that denies lists once. It still issues certificates and reloads by name.
        """
        pebble.start()
        allow(VERSION, RELOADS.replace("nginx", f"{network}-named"))
        named = start("named", domains="one.internal")
        project.settings["CERTWORKER_DOCKER_LABELS"] = "true"
        project.settings["CERTWORKER_RELOAD"] = f"{named}:HUP"
        project.up()
        message = project.wait_for_line("label.refused")
        project.wait_for_line("main.internal: certificate issued")
        project.wait_for_line(f"{named}:HUP: reloaded")
        doctor = findings(project)["Docker"]

        assert "HTTP 403" in message
        assert "CONTAINERS=1 and EVENTS=1" in message
        assert "one.internal" not in project.logs()
        assert ("warn", "label.refused") == (doctor["verdict"], doctor["code"])


class TestDoctor:
    def test_it_sees_traefik_its_ports_and_its_volumes(
        self, project: Project, pebble: ContainedPebble, allow: Callable[..., None], tmp_path: Path
    ) -> None:
        """
        The doctor checks Traefik, its ports and its volumes. It reports a port that is only on the loopback
        interface.
        """
        pebble.start()
        allow(LISTS)
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        found = findings(project)

        assert ["well", "well", "warn", "well"] == [
            found[subject]["verdict"]
            for subject in ("Docker", "Traefik", "Traefik's ports", "Traefik's volumes")
        ]
        assert project.settings["_APP_HTTP_PORT"] in found["Traefik's ports"]["text"]

        other = tmp_path / "other.yml"
        other.write_text('{"services": {"traefik": {"volumes": ["certworker-redis:/storage/config:ro"]}}}')
        project.also(other)
        project.up()
        volumes = findings(project)["Traefik's volumes"]
        assert "fail" == volumes["verdict"]
        assert "At /storage/config, Traefik has " in volumes["text"]
        project.compose("stop", "--timeout", "1", "traefik")
        assert "fail" == findings(project)["Traefik"]["verdict"]
