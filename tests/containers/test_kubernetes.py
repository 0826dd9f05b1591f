"""
The containers of the proxy pod in contrib/kubernetes, with the mounts and the privileges of the manifest.

An engine runs them in place of a cluster: with one network for all of them, as in a pod.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from certworker.devca.proxy import handshake
from certworker.replication.sealing import ReplicationKeys
from tests.containers.certification import ContainedPebble
from tests.containers.docker import Docker
from tests.containers.images import PYTHON, TRAEFIK
from tests.containers.project import PAUSE_SECONDS, Project
from tests.contrib.test_kubernetes import BY_NAME, PODS, environment
from tests.servers.worker import wait_until

POD = PODS["DaemonSet"]

PATIENCE_SECONDS = 60.0


class Pod:
    """
    The pod of the DaemonSet on *networks*. Its name is that of the container that owns the network.
    """

    def __init__(self, docker: Docker, image: str, networks: list[str], directory: Path) -> None:
        self._docker, self._image, self._networks = docker, image, networks
        self._directory = directory
        self._name = f"{networks[0]}-pod"
        self._names = [self._name]

    def start(self, key: str) -> None:
        """
        Run the containers of the manifest in their order. *key* is the content of the secret.
        """
        (self._directory / "storage").mkdir(parents=True)
        self._write("replication", {"key": key}, POD["securityContext"]["fsGroup"])
        self._write("routes", BY_NAME["ConfigMap", "certworker-routes"]["data"])
        ports = [word for port in self._ports().values() for word in ("--publish", f"127.0.0.1::{port}")]
        run = ("run", "--detach", "--name", self._name, "--network", self._networks[0], *ports)
        self._docker(*run, PYTHON, "sleep", "infinity")
        for network in self._networks[1:]:
            self._docker("network", "connect", network, self._name)
        for container in POD["initContainers"]:
            self._docker("run", "--rm", *self._options(container))
        for container in POD["containers"]:
            self._names.append(f"{self._name}-{container['name']}")
            self._docker("run", "--detach", "--name", self._names[-1], *self._options(container))

    def remove(self) -> None:
        """
        Remove all containers of the pod.
        """
        self._docker.attempt("rm", "--force", "--volumes", *self._names)

    def port(self, name: str) -> int:
        """
        Return the port of this machine that leads to the port *name* of Traefik.
        """
        return int(self._docker("port", self._name, str(self._ports()[name])).strip().rpartition(":")[2])

    def logs(self, container: str) -> str:
        """
        Return the log of *container*.
        """
        ended = self._docker.attempt("logs", f"{self._name}-{container}")
        return ended.stdout + ended.stderr

    def probe(self, name: str) -> bool:
        """
        Return whether the liveness probe of the container *name* succeeds.
        """
        (container,) = (each for each in POD["containers"] if each["name"] == name)
        command = container["livenessProbe"]["exec"]["command"]
        return self._docker.attempt("exec", f"{self._name}-{name}", *command).returncode == 0

    def _ports(self) -> dict[str, int]:
        return {
            port["name"]: port["containerPort"]
            for container in POD["containers"]
            for port in container.get("ports", [])
        }

    def _write(self, volume: str, files: dict[str, str], group: int = 0) -> None:
        (self._directory / volume).mkdir()
        for name, text in files.items():
            file = self._directory / volume / name
            file.write_text(text)
            file.chmod(0o440 if group else 0o644)
            os.chown(file, 0, group)

    def _options(self, container: Any) -> list[str]:
        context = POD["securityContext"] | container["securityContext"]
        options = ["--network", f"container:{self._name}", "--security-opt", "no-new-privileges"]
        options += ["--user", f"{context['runAsUser']}:{context['runAsGroup']}", "--read-only"]
        for verb, capabilities in context["capabilities"].items():
            options += [f"--cap-{verb}={capability}" for capability in capabilities]
        for mount in container["volumeMounts"]:
            path, mode = mount["mountPath"], "ro" if mount.get("readOnly") else "rw"
            if mount["name"] == "tmp":
                options += ["--tmpfs", path]
            else:
                options += ["--volume", f"{self._directory / mount['name']}:{path}:{mode}"]
        if "env" in container:
            options += [word for pair in environment(container).items() for word in ("--env", "=".join(pair))]
        command = container.get("command", [])
        options += ["--entrypoint", command[0]] if command else []
        image = TRAEFIK if container["name"] == "traefik" else self._image
        return [*options, image, *command[1:], *container.get("args", [])]


@pytest.fixture
def pod(docker: Docker, image: str, project: Project, network: str, tmp_path: Path) -> Iterator[Pod]:
    """
    Yield the pod, which is not started, beside a project with Redis and a worker.
    """
    pod = Pod(docker, image, [network, f"{network}_redis"], tmp_path / "pod")
    yield pod
    pod.remove()


class TestProxyPod:
    def test_it_serves_the_certificate_and_responds_to_challenges(
        self, project: Project, pod: Pod, pebble: ContainedPebble
    ) -> None:
        """
        The pod starts with a directory of root, serves the certificate, and leads challenges to the mirror.
        """
        key = ReplicationKeys.generate()
        project.settings["CERTWORKER_REPLICATION_KEY"] = key
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        pod.start(key)

        def serial() -> str | None:
            try:
                return str(handshake("main.internal", pod.port("websecure"), pebble.root())["serialNumber"])
            except OSError:
                return None

        logs = partial(pod.logs, "mirror")
        served = wait_until(serial, logs, PATIENCE_SECONDS, pause_seconds=PAUSE_SECONDS)
        checked = "main.internal: Traefik now serves the new certificate (checked)"
        wait_until(lambda: checked in logs() or None, logs, PATIENCE_SECONDS, pause_seconds=PAUSE_SECONDS)
        url = f"http://127.0.0.1:{pod.port('web')}"
        challenge = requests.get(f"{url}/.well-known/acme-challenge/token", timeout=10, allow_redirects=False)
        other = requests.get(f"{url}/", headers={"Host": "main.internal"}, timeout=10, allow_redirects=False)

        assert served == project.visit("main.internal")
        assert pod.probe("mirror")
        assert 404 == challenge.status_code
        assert "https://main.internal/" == other.headers["Location"]
