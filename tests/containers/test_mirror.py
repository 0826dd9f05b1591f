"""
A mirror with the compose file of the project on a second host, started with the commands of the guide.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.replication.sealing import ReplicationKeys
from tests.containers.certification import ContainedPebble
from tests.containers.docker import Docker
from tests.containers.project import Project
from tests.documentation import DOCS
from tests.guides import sections
from tests.servers.ports import free_port

GUIDE = sections(DOCS / "guides" / "several-hosts.md")["A mirror"]

#: The connection to the Redis of the first host.
NETWORK = """
services:
  appwrite-worker-certificates:
    networks: [default, first]
networks:
  first:
    name: {project}_redis
    external: true
"""


@pytest.fixture
def second(
    docker: Docker, project: Project, network: str, pebble: ContainedPebble, tmp_path: Path
) -> Iterator[Project]:
    """
    Yield the project of a second host with its own network and volumes. It is not started.
    """
    name, directory = f"{network}-second", tmp_path / "second"
    directory.mkdir()
    (directory / "docker-compose.override.yml").write_text(GUIDE["yaml"][0])
    (directory / "network.yml").write_text(NETWORK.format(project=network))
    docker("network", "create", name)
    second = Project(docker, name, pebble, directory)
    for file in ("docker-compose.override.yml", "network.yml"):
        second.also(directory / file)
    second.settings |= {"_APP_REDIS_HOST": "redis", "CERTWORKER_WEB_PORT": str(free_port())}
    project.settings["CERTWORKER_REPLICATION_KEY"] = ReplicationKeys.generate()
    second.settings["CERTWORKER_REPLICATION_KEY"] = project.settings["CERTWORKER_REPLICATION_KEY"]
    yield second
    second.remove()
    docker("network", "rm", name)


class TestMirror:
    def test_a_second_host_serves_the_certificate(
        self, project: Project, second: Project, pebble: ContainedPebble, tmp_path: Path
    ) -> None:
        """
        The Traefik of the second host serves the certificate, and its own Redis is not started.
        """
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        (commands,) = GUIDE.commands
        second.type_in(commands, tmp_path)
        second.wait_for_line("main.internal: in service: received from another host")
        # If Traefik's container starts later, its name has no address yet, and the mirror checks nothing.
        assert project.visit("main.internal") == second.visit("main.internal")
        assert "unless-stopped" == second.inspect("{{.HostConfig.RestartPolicy.Name}}")
        assert ["traefik"] == [
            name for name in second.compose("ps", "--services").split() if name in ("redis", "traefik")
        ]
