"""
The stack of contrib/swarm on an engine in swarm mode, started with the commands of the guide.

The swarm has one node. The test proves neither the traffic between nodes nor the start on a new node.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from certworker.devca.proxy import handshake
from tests.containers.certification import ContainedPebble
from tests.containers.docker import Docker
from tests.containers.images import REDIS, TRAEFIK
from tests.containers.project import PAUSE_SECONDS, TOP
from tests.documentation import DOCS
from tests.guides import sections
from tests.servers.ports import free_port
from tests.servers.worker import wait_until

OVERRIDE = Path(__file__).parent / "swarm.yml"
STACK = "certworker"

#: The engine stops a service before it starts the next version, and may wait for its health check.
PATIENCE_SECONDS = 100.0

SETTINGS = """\
_APP_ENV=production
_APP_DOMAIN=main.internal
_APP_EMAIL_CERTIFICATES=ops@example.org
CERTWORKER_AUTHORITY=https://pebble:14000/dir
CERTWORKER_CA_BUNDLE=/pebble.pem
CERTWORKER_PRIVATE_NETWORK=true
"""


@pytest.fixture
def swarm(docker: Docker) -> Iterator[str]:
    """
    Yield the name of the only node of a new swarm.
    """
    if "inactive" not in docker("info", "--format", "{{.Swarm.LocalNodeState}}"):
        pytest.skip("This engine belongs to a swarm, which the test would end.")
    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    yield docker("node", "ls", "--format", "{{.Hostname}}").strip()
    docker("swarm", "leave", "--force")


@pytest.fixture
def network(docker: Docker, swarm: str) -> str:
    """
    Return the network between the stack and its CA. It ends with the swarm.
    """
    name = "certworker-stack"
    docker("network", "create", "--driver", "overlay", "--attachable", name)
    return name


class Stack:
    """
    The checkout of an operator, and the stack that the commands of the guide start in it.
    """

    def __init__(
        self, docker: Docker, image: str, node: str, pebble: ContainedPebble, directory: Path
    ) -> None:
        self.docker, self.image, self.pebble = docker, image, pebble
        self._node, self._directory, self._https_port = node, directory, free_port()
        self._guide = sections(DOCS / "guides" / "several-hosts.md")["Docker Swarm"]["sh"]
        self._variables = {
            "_APP_HTTP_PORT": str(free_port()),
            "_APP_HTTPS_PORT": str(self._https_port),
            "TEST_NETWORK": "certworker-stack",
            "TEST_REDIS": REDIS,
            "TEST_TRAEFIK": TRAEFIK,
            "TEST_CA_BUNDLE": str(pebble.ca_bundle),
        }
        shutil.copytree(TOP / "contrib" / "swarm", directory / "contrib" / "swarm")
        (directory / ".env").write_text(SETTINGS)

    def run(self, block: int) -> str:
        """
        Run a block of the guide with the image and the node of the test; return its output.
        """
        script = self._guide[block].replace("compose.yml", f"compose.yml --compose-file {OVERRIDE}")
        script = re.sub(r"\bnode\d\b", self._node, script)
        script = re.sub(r"registry\.example\.com/certworker:\S+", self.image, script)
        ended = subprocess.run(
            ["sh", "-e", "-c", script],
            cwd=self._directory,
            env={**self.docker.variables, **self._variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == ended.returncode, ended.stderr
        return ended.stdout

    def logs(self, service: str) -> str:
        """
        Return the log of *service*, with that of its previous versions.
        """
        ended = self.docker.attempt("service", "logs", "--raw", f"{STACK}_{service}")
        return ended.stdout + ended.stderr

    def wait_for_line(self, line: str, service: str) -> None:
        """
        Wait for a *line* in the log of *service*.
        """
        log = partial(self.logs, service)
        wait_until(lambda: line in log() or None, log, PATIENCE_SECONDS, pause_seconds=PAUSE_SECONDS)

    def wait_for_update(self, service: str) -> None:
        """
        Wait until *service* runs with the image of this stack, and is healthy.
        """
        name = f"label=com.docker.swarm.service.name={STACK}_{service}"
        show = ("ps", "--filter", name, "--format", "{{.Image}} {{.Status}}")

        def is_replaced() -> bool | None:
            running = self.docker(*show)
            return (running.startswith(f"{self.image} ") and "(healthy)" in running) or None

        wait_until(is_replaced, partial(self.logs, service), PATIENCE_SECONDS, pause_seconds=PAUSE_SECONDS)

    def serial(self) -> str:
        """
        Return the serial number of the certificate that Traefik serves, verified with the root of the CA.
        """

        def served() -> str | None:
            try:
                return str(handshake("main.internal", self._https_port, self.pebble.root())["serialNumber"])
            except OSError:
                return None

        return wait_until(
            served, partial(self.logs, "traefik"), PATIENCE_SECONDS, pause_seconds=PAUSE_SECONDS
        )


@pytest.fixture
def stack(docker: Docker, image: str, swarm: str, pebble: ContainedPebble, tmp_path: Path) -> Iterator[Stack]:
    """
    Yield the stack, which is not started. Its volumes are removed at the end.
    """
    tags = f"{image}:latest", f"{image}:next"
    docker("tag", *tags)
    yield Stack(docker, image, swarm, pebble, tmp_path)
    docker("stack", "rm", STACK)
    names = ("volume", "ls", "--quiet", "--filter", f"label=com.docker.stack.namespace={STACK}")

    def is_removed() -> bool | None:
        docker.attempt("volume", "rm", *docker(*names).split())
        return not docker(*names) or None

    wait_until(is_removed, lambda: docker("ps", "--all"), PATIENCE_SECONDS, pause_seconds=PAUSE_SECONDS)
    docker("image", "rm", tags[1])


class TestSwarm:
    def test_a_rolling_update_keeps_the_certificate(self, stack: Stack, pebble: ContainedPebble) -> None:
        """
        The worker gets a certificate, the mirror hands it to Traefik, and an update of both orders none.
        """
        pebble.start()
        stack.run(0)
        stack.wait_for_line("main.internal: certificate issued", "worker")
        stack.wait_for_line("main.internal: Traefik now serves the new certificate (checked)", "mirror")
        serial = stack.serial()
        stack.image = f"{stack.image}:next"
        stack.run(1)
        for service in ("worker", "mirror"):
            stack.wait_for_update(service)
        hosts = stack.run(2)

        assert serial == stack.serial()
        assert 1 == pebble.orders() == pebble.accounts()
        assert "ERROR" not in stack.logs("worker").partition("certificate issued")[2]
        assert ["mirror", "worker"] == sorted(re.findall(r"mirror|worker", hosts))
        assert 2 == hosts.count("names: 1")
