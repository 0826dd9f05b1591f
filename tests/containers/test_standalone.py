"""
certworker without Appwrite, from its compose file to a page over HTTPS.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.certification import ContainedPebble
from tests.containers.docker import Docker
from tests.containers.project import TOP, Project

FILES = (TOP / "docker-compose.standalone.yml", Path(__file__).parent / "standalone.yml")
WORKER = "certworker"

#: A program that prints the page without verification of the certificate, which `Project.visit` verifies.
FETCH = """
import ssl, urllib.request
context = ssl._create_unverified_context()
request = urllib.request.Request("https://main.internal/")
print(urllib.request.urlopen(request, context=context, timeout=10).read().decode())
"""


@pytest.fixture
def project(
    docker: Docker, image: str, network: str, pebble: ContainedPebble, tmp_path: Path
) -> Iterator[Project]:
    """
    Yield the project of this compose file with its own secrets. It is not started.
    """
    shutil.copytree(TOP / "contrib" / "standalone", tmp_path / "contrib" / "standalone")
    subprocess.run([tmp_path / "contrib" / "standalone" / "make-secrets"], check=True, capture_output=True)
    project = Project(docker, network, pebble, tmp_path, FILES)
    project.settings |= {
        "TEST_SECRETS": str(tmp_path / "secrets"),
        "TEST_SETTINGS": str(tmp_path / "dotenv"),
    }
    yield project
    project.remove()


class TestStandalone:
    def test_a_browser_gets_the_page_with_a_certificate(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        A browser gets the page of the application with a trusted certificate.
        """
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued", service=WORKER)

        assert project.visit("main.internal")
        assert "It works" in project.compose("exec", "--no-TTY", WORKER, "python3", "-c", FETCH)
        assert "PONG" in project.redis("PING")
        assert "NOPERM" in project.redis("GET", "certworker:agenda")
        assert "0 problems" in project.compose("exec", "--no-TTY", WORKER, "certworker", "doctor")
