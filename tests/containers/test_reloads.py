"""
Reloads through a real engine.
"""

from __future__ import annotations

import secrets

import pytest

from certworker.errors.reload import ReloadFailed
from certworker.integrations.docker.client import DockerClient
from certworker.settings.reload import Reload
from tests.containers.docker import Docker
from tests.containers.images import PYTHON
from tests.servers.worker import wait_until

#: A server that reads its certificates again after a signal.
SERVER = """
import signal, time
signal.signal(signal.SIGHUP, lambda *_: print("read again", flush=True))
print("ready", flush=True)
while True:
    time.sleep(0.1)
"""


class TestReload:
    def test_a_signal_a_command_and_a_restart_arrive(self, docker: Docker) -> None:
        """
        A container receives the signal, the command and the restart of a reload.
        """
        name = f"certworker-{secrets.token_hex(4)}"
        containers = DockerClient(docker.variables.get("DOCKER_HOST", "unix:///var/run/docker.sock"))

        def wait_for(word: str, times: int) -> None:
            logs = docker("logs", name)
            wait_until(lambda: docker("logs", name).count(word) >= times or None, lambda: logs)

        docker("run", "--detach", "--network", "none", "--name", name, PYTHON, "python3", "-c", SERVER)
        try:
            wait_for("ready", 1)
            containers.reload(Reload.parse(f"{name}:HUP"))
            wait_for("read again", 1)
            containers.reload(Reload.parse(f"{name}:exec:python3 -c 'import os; os.kill(1, 1)'"))
            wait_for("read again", 2)
            with pytest.raises(ReloadFailed, match="exit code 7"):
                containers.reload(Reload.parse(f"{name}:exec:python3 -c 'raise SystemExit(7)'"))
            containers.reload(Reload.parse(f"{name}:restart"))
            wait_for("ready", 2)
        finally:
            docker("rm", "--force", name)
        with pytest.raises(ReloadFailed, match="No such container"):
            containers.reload(Reload.parse(f"{name}:HUP"))
