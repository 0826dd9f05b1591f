"""
Replace Appwrite's worker and switch back, with the commands of docs/guides/replace-appwrite-worker.md.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.appwrite.certbot import Certbot
from tests.containers.appwrite.layouts import (
    AUTHORITY,
    CLASSIC,
    COMBINED,
    HERE,
    IMAGE,
    NAMES,
    Layout,
    block,
    migrated,
)
from tests.containers.certification import ContainedPebble
from tests.containers.core import ContainedCore
from tests.containers.docker import Docker
from tests.containers.project import WORKER, Project

KEPT = ("main.internal", "one.internal")
BROKEN = "two.internal"
NEW = "shop.internal"

#: The state after a crash of the old worker between its renames: a key of another certificate.
BREAK = ("cp", *(f"/storage/certificates/{name}/privkey.pem" for name in (KEPT[0], BROKEN)))


class Operator:
    """
    An operator of an Appwrite with *layout* who follows the guide.
    """

    def __init__(self, docker: Docker, project: Project, layout: Layout, directory: Path) -> None:
        self.project = project
        self.layout = layout
        self.certbot = Certbot(directory / "letsencrypt")
        self._docker = docker
        self._directory = directory

    def edit(self) -> None:
        """
        Change Appwrite's file as in the guide.
        """
        (self._directory / "docker-compose.yml").write_text(migrated(self.layout))

    def migrate(self) -> None:
        """
        Perform the migration of the guide.
        """
        self.edit()
        self.project.also(AUTHORITY)
        self.project.type_in(block("sh migration"), self._directory)

    def go_back(self) -> None:
        """
        Perform the rollback of the guide.
        """
        self.project.type_in(block("sh return"), self._directory)
        shutil.copy(self.layout.file, self._directory / "docker-compose.yml")
        self.project.without(AUTHORITY)
        self.project.up()

    def get_by_certbot(self, *domains: str) -> dict[str, str]:
        """
        Create certbot's files for *domains* in the container of the old worker. Return the serial numbers.
        """
        serials = {domain: self.certbot.get(domain) for domain in domains}
        self.project.compose("cp", f"{self.certbot.directory}/.", f"{self.layout.worker}:/etc/letsencrypt")
        return serials

    def visit(self, *domains: str) -> dict[str, str]:
        """
        Return the serial numbers of the served certificates of *domains*, verified with the root of certbot's
        CA or of Pebble.
        """
        pebble = self.project.pebble
        roots = self._directory / "roots.pem"
        roots.write_bytes(self.certbot.root + (pebble.root().read_bytes() if pebble.orders() else b""))
        return {domain: self.project.visit(domain, roots) for domain in domains}

    def workers(self) -> dict[str, str]:
        """
        Return the running services of workers, independent of the current file, with their images.
        """
        of_project = f"label=com.docker.compose.project={self.project.settings['TEST_PROJECT']}"
        form = '{{.Label "com.docker.compose.service"}} {{.Image}}'
        lines = self._docker("ps", "--filter", of_project, "--format", form).splitlines()
        return {service: image for service, image in map(str.split, lines) if "worker" in service}

    def definition(self) -> dict[str, Any]:
        """
        Return the configuration of compose for the file.
        """
        definition: dict[str, Any] = json.loads(self.project.compose("config", "--format", "json"))
        return definition

    def wait_for_old_worker(self, text: str, *domains: str) -> None:
        """
        Wait until the old worker has logged *text* for each of *domains*.
        """
        for domain in domains:
            self.project.wait_for_line(f"{domain}: {text}", service=self.layout.worker)


@pytest.fixture(params=[CLASSIC, COMBINED], ids=["classic", "combined"])
def operator(
    request: pytest.FixtureRequest,
    docker: Docker,
    image: str,
    network: str,
    pebble: ContainedPebble,
    tmp_path: Path,
) -> Iterator[Operator]:
    """
    Yield an operator whose Appwrite is not started.
    """
    layout: Layout = request.param
    docker("build", "--quiet", "--tag", IMAGE, str(HERE))
    file = tmp_path / "docker-compose.yml"
    shutil.copy(layout.file, file)
    project = Project(docker, network, pebble, tmp_path, [file, NAMES])
    socket = docker.variables.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    project.settings |= {"TEST_DOCKER_SOCKET": socket, **layout.variables}
    yield Operator(docker, project, layout, tmp_path)
    project.remove()


@pytest.fixture
def core(docker: Docker, network: str) -> ContainedCore:
    """
    Return Appwrite's core on the network of its Redis.
    """
    return ContainedCore(docker, network)


@pytest.fixture
def ask(operator: Operator, core: ContainedCore) -> Callable[..., None]:
    """
    Return a function that sends messages as the core of the release does.
    """
    return core.send_jobs_of_resque if operator.layout is CLASSIC else core.send_messages


class TestMigration:
    def test_after_migration_and_rollback_every_name_is_served(
        self, operator: Operator, pebble: ContainedPebble, image: str, ask: Callable[..., None]
    ) -> None:
        """
        After migration and rollback, valid certificates are not ordered again, and the current worker
        processes messages.
        """
        project = operator.project
        pebble.start()
        project.up()
        shown = operator.get_by_certbot(*KEPT, BROKEN)
        ask(*shown)
        operator.wait_for_old_worker("moved", *shown)
        assert shown == operator.visit(*shown)
        workers = operator.workers()
        project.compose("exec", "appwrite", *BREAK)

        operator.migrate()

        for domain in KEPT:
            project.wait_for_line(f"{domain}: adopted: issued by R11")
        project.wait_for_line(rf"{BROKEN}: .*fs\.partial")
        project.wait_for_line(f"{BROKEN}: certificate issued")
        project.wait_for_health("healthy")
        assert workers | {WORKER: image} == operator.workers()
        ask(NEW)
        project.wait_for_line(f"{NEW}: certificate issued")
        shown |= operator.visit(BROKEN, NEW)
        assert shown == operator.visit(*KEPT, BROKEN, NEW)
        assert 2 == pebble.orders()
        assert "serving Appwrite's queue v1-certificates" in project.logs()
        if operator.layout is COMBINED:
            assert NEW not in project.logs(service=operator.layout.worker)

        operator.go_back()

        assert workers == operator.workers()
        assert shown == operator.visit(*shown)
        ask(*KEPT, NEW)
        operator.wait_for_old_worker("renew isn't required", *KEPT, NEW)
        renewed = operator.get_by_certbot(*shown)
        ask(*renewed)
        operator.wait_for_old_worker("moved", *renewed)
        # Appwrite needs no file of certworker after the rollback.
        project.compose("exec", "appwrite", "rm", "-r", "/storage/certificates/.certworker")
        project.compose("restart", "traefik")
        assert renewed == operator.visit(*renewed)
        assert 2 == pebble.orders()

    def test_only_two_services_change(self, operator: Operator) -> None:
        """
        The guide removes the entrypoint, the container's name and the profile of the old service. If another
        service did the work, that service gets one variable.
        """
        before = operator.definition()
        operator.edit()
        after = operator.definition()

        old, new = before["services"], after["services"]
        assert {WORKER, operator.layout.worker} == {name for name in new if old.get(name) != new[name]}
        assert not any(new[WORKER].get(key) for key in ("entrypoint", "container_name", "profiles"))
        if operator.layout is COMBINED:
            environment = old["appwrite-worker"]["environment"] | {"_APP_CERTIFICATES_QUEUE_NAME": "unused"}
            assert old["appwrite-worker"] | {"environment": environment} == new["appwrite-worker"]
        assert {"certworker-state"} == after["volumes"].keys() - before["volumes"].keys()
