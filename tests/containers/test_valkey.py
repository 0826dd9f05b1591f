"""
The project with Valkey instead of Redis.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.containers.certification import ContainedPebble
from tests.containers.docker import Docker
from tests.containers.images import PYTHON
from tests.containers.project import WORKER, Project
from tests.test_security import SECRET, rights

IMAGE = "certworker-valkey"

#: Valkey of Debian 13. As in the official image, its programs also have the names of those of Redis.
VALKEY_OF_DEBIAN = f"""\
FROM {PYTHON}
RUN apt-get update && apt-get install --yes --no-install-recommends valkey-server
RUN cd /usr/local/bin && ln -s /usr/bin/valkey-server redis-server && ln -s /usr/bin/valkey-cli redis-cli
RUN install --directory --owner=999 --group=999 /data
VOLUME /data
WORKDIR /data
"""


@pytest.fixture
def project(project: Project, docker: Docker) -> Project:
    """
    Return the project with Valkey as its Redis. It is not started.
    """
    docker("build", "--quiet", "--tag", IMAGE, "-", stdin=VALKEY_OF_DEBIAN)
    project.settings["TEST_REDIS"] = IMAGE
    return project


class TestValkey:
    def test_the_documented_user_suffices_and_jobs_survive_a_restart(
        self, project: Project, pebble: ContainedPebble, tmp_path: Path
    ) -> None:
        """
        A worker with the user of the guide processes the jobs from before a restart of Valkey, and later
        jobs.
        """
        pebble.start()
        project.up("redis")
        assert "server_name:valkey" in project.redis("INFO", "server")
        project.redis("ACL", "SETUSER", *rights("certworker"))
        project.settings |= {"_APP_REDIS_USER": "certworker", "_APP_REDIS_PASS": SECRET}
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        project.compose("stop", WORKER)
        project.request("shop.internal")
        project.compose("restart", "redis")
        project.redis("ACL", "SETUSER", *rights("certworker"))
        project.compose("start", WORKER)
        project.wait_for_line("shop.internal: certificate issued")
        project.request("one.internal", force=True)
        project.wait_for_line("one.internal: certificate issued")
        project.worker("remove", "--wait", "one.internal")

        assert "[redis." not in project.logs()
        assert "Traceback" not in project.logs()
        assert 3 == pebble.orders()
