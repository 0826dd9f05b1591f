"""
One engine and one image for the session, and volumes, network, CA and containers for each test.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.certification import ContainedPebble
from tests.containers.core import ContainedCore
from tests.containers.docker import Docker
from tests.containers.engine import engine
from tests.containers.images import PINNED
from tests.containers.project import TOP, Project

#: The name of the image in override.yml.
IMAGE = "certworker-under-test"


@pytest.fixture(scope="session")
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """
    Return a function that prints progress and measurements during the tests.
    """
    capture = request.config.pluginmanager.getplugin("capturemanager")
    terminal = request.config.pluginmanager.getplugin("terminalreporter")

    def say(what: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(what)

    return say


@pytest.fixture(scope="session")
def docker(tell: Callable[[str], None]) -> Iterator[Docker]:
    """
    Yield the `docker` command, with an engine that has the images.
    """
    with engine(tell) as docker:
        yield docker


@pytest.fixture(scope="session")
def image(docker: Docker) -> str:
    """
    Build the image of the project's Dockerfile with the base image on the engine. Return its name.
    """
    instructions = (TOP / "Dockerfile").read_text()
    for tag, pinned in PINNED.items():
        instructions = instructions.replace(pinned, tag)
    docker("build", "--quiet", "--tag", IMAGE, "--file", "-", str(TOP), stdin=instructions)
    return IMAGE


@pytest.fixture
def network(docker: Docker) -> Iterator[str]:
    """
    Yield the network between the project and its CA.
    """
    name = f"certworker-{secrets.token_hex(4)}"
    docker("network", "create", name)
    yield name
    docker("network", "rm", name)


@pytest.fixture
def pebble(docker: Docker, network: str, tmp_path: Path) -> Iterator[ContainedPebble]:
    """
    Yield a CA that is not started.
    """
    pebble = ContainedPebble(docker, network, tmp_path / "pebble")
    yield pebble
    pebble.remove()


@pytest.fixture
def project(
    docker: Docker, image: str, network: str, pebble: ContainedPebble, tmp_path: Path
) -> Iterator[Project]:
    """
    Yield the project with its own volumes. It is not started.
    """
    project = Project(docker, network, pebble, tmp_path)
    yield project
    project.remove()


@pytest.fixture
def core(docker: Docker, network: str) -> ContainedCore:
    """
    Return a PHP program that requests certificates, on the network of Redis.
    """
    return ContainedCore(docker, f"{network}_redis")
