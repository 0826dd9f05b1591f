"""
Hosts of the guide "Several hosts": one compose project for each, with its own volumes and networks.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import textwrap
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from certworker.devca.proxy import handshake
from tests.containers.certification import ContainedPebble
from tests.containers.docker import Docker, DockerFailed
from tests.containers.project import OURS, PATIENCE_SECONDS, TOP, Project
from tests.servers.ports import free_port
from tests.servers.worker import wait_until

GUIDE = TOP / "docs" / "guides" / "several-hosts.md"
COMMON = Path(__file__).with_name("several-hosts.yml")

#: The additions for a host with Redis, which shares the address of its Sentinel. Only the Traefik of these
#: hosts has one of the names in the public DNS.
WITH_REDIS = """
services:
  traefik:
    networks:
      public:
        aliases: [three.internal]
  redis:
    ports: !reset []
    networks: !reset []
    network_mode: service:sentinel
    healthcheck:
      start_interval: 1s
  sentinel:
    image: ${TEST_REDIS}
    ports: !reset []
    networks:
      private:
        ipv4_address: ${HOST_ADDRESS}
    healthcheck:
      start_interval: 1s
"""

#: The additions for a host with only a Sentinel. Only the Traefik of this host has a name in the public DNS.
WITHOUT_REDIS = """
services:
  traefik:
    networks:
      public:
        aliases: [stuck.internal]
  sentinel:
    image: ${TEST_REDIS}
    ports: !reset []
    networks:
      private:
        ipv4_address: ${HOST_ADDRESS}
    healthcheck:
      start_interval: 1s
"""

#: The addresses of the guide.
ADDRESS = re.compile(r"\b10\.0\.0\.(\d)\b")


def block(what: str) -> str:
    """
    Return the code block of the guide that is marked with *what*.
    """
    (found,) = re.findall(rf"^ *```sh {what}\n(.*?)^ *```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    return textwrap.dedent(found)


def settings_in(what: str) -> dict[str, str]:
    """
    Return the settings in the code block of the guide that is marked with *what*.
    """
    return dict(line.split("=", 1) for line in block(what).splitlines())


class Host(Project):
    """
    A host of the guide, with its additions to the compose file in *directory*.
    """

    def follow(self, settings: Mapping[str, str], directory: Path) -> None:
        """
        Add the *settings* of the guide to `.env`, and use the compose files that they name.
        """
        self.settings |= settings
        files = self.settings["COMPOSE_FILE"].split(":")
        role = directory / "role.yml"
        role.write_text(WITHOUT_REDIS if files[-1].endswith("mirror.yml") else WITH_REDIS)
        self._files = [*(TOP / file for file in files), COMMON, role]

    def type(self, what: str) -> list[str]:
        """
        Run the commands in the code block of the guide that is marked with *what*; return their outputs.
        """
        lines = block(what).replace("shop.example.org", "shop.internal").splitlines()
        ours = (line.removeprefix("docker compose ") for line in lines if line.startswith("docker compose "))
        return [self.compose(*shlex.split(line)) for line in ours]

    def serial(self, name: str, root: Path) -> str | None:
        """
        Return the serial number of the certificate that Traefik of this host serves for *name*; None: no
        trusted one.
        """
        try:
            return str(handshake(name, self._https_port, root)["serialNumber"])
        except OSError:
            return None


class Hosts:
    """
    Three hosts. The first one runs only docker-compose.yml at the beginning.
    """

    def __init__(self, docker: Docker, network: str, pebble: ContainedPebble, place: Path) -> None:
        self.pebble = pebble
        self._docker = docker
        self._private = f"{network}-private"
        self._place = place
        self.all: list[Host] = []
        for number in (1, 2, 3):
            directory = place / f"host{number}"
            directory.mkdir()
            host = Host(docker, f"{network}-{number}", pebble, directory, (OURS[0], COMMON))
            host.settings |= {"TEST_PROJECT_NETWORK": network, "CERTWORKER_WEB_PORT": str(free_port())}
            self.all.append(host)

    def start(self) -> None:
        """
        Follow the guide from one host to three.
        """
        network = self._make_private_network()
        self._docker("network", "connect", "--alias", "pebble", self._private, self.pebble.container)
        self.all[0].up()
        self.all[0].wait_for_line("main.internal: certificate issued")
        (key,) = self.all[0].type("host 1")
        secret = {"PASSWORD": secrets.token_hex(24), "KEY": key.strip()}
        for number, host in enumerate(self.all, 1):
            found = settings_in("each host") | {"HOST_ADDRESS": f"10.0.0.{number}"}
            if number == 3:
                found |= settings_in("host 3")
            found = {name: self._local(secret.get(text, text), network) for name, text in found.items()}
            host.follow(found, self._place / f"host{number}")
        self.all[0].type("start")
        self.together(lambda host: host.type("start"), 2, 3)

    def destroy(self, number: int) -> None:
        """
        Kill all programs of a host at once, and remove its containers and volumes.
        """
        self._docker("kill", *self.all[number - 1].compose("ps", "--quiet").split())
        self.all[number - 1].remove()

    def remove(self) -> None:
        """
        Remove the hosts and the network between them.
        """
        for host in self.all:
            host.remove()
        self._docker.attempt("network", "disconnect", "--force", self._private, self.pebble.container)
        self._docker.attempt("network", "rm", self._private)

    def together(self, step: Callable[[Host], object], *numbers: int) -> None:
        """
        Do *step* on the hosts with these *numbers* at the same time.
        """
        with ThreadPoolExecutor() as pool:
            list(pool.map(step, [self.all[number - 1] for number in numbers]))

    def restart(self, settings: Mapping[str, str], *numbers: int) -> None:
        """
        Change *settings* in `.env` of the hosts with these *numbers*, apply them as the guide does, and wait
        until the hosts are ready.
        """
        for number in numbers:
            self.all[number - 1].settings |= settings
        self.together(lambda host: host.type("start"), *numbers)
        self.together(lambda host: host.wait_for_line(" ready · "), *numbers)

    def serve(self, name: str, *, instead_of: str | None = None, on: Sequence[int] = (1, 2, 3)) -> str:
        """
        Wait until Traefik of each host in *on* serves the same certificate for *name*, which is not the one
        with the serial number *instead_of*; return its serial number.
        """
        root = self.pebble.root()
        hosts = [self.all[number - 1] for number in on]

        def shown() -> str | None:
            found = {host.serial(name, root) for host in hosts}
            (serial,) = found if len(found) == 1 else (None,)
            return serial if serial != instead_of else None

        def problem() -> str:
            found = [host.serial(name, root) for host in hosts]
            logs = "\n".join(host.logs("--tail", "50") for host in hosts)
            return f"not all serve a new certificate for {name}: {found}\n{logs}"

        return wait_until(shown, problem, PATIENCE_SECONDS)

    def request(self, *arguments: str, on: int = 1) -> None:
        """
        Run `certworker request` with *arguments* on a host, and wait for the outcomes.
        """
        self.all[on - 1].worker("request", "--wait", *arguments)

    def refuses(self, code: str, name: str) -> bool:
        """
        Request a certificate for *name*, and return whether a worker refuses this with *code*.
        """
        try:
            self.request(name)
        except DockerFailed as failure:
            assert f"[{code}]" in str(failure)  # noqa: PT017 (the caller continues after this failure)
            return True
        return False

    def wait_until_removed(self, name: str) -> None:
        """
        Wait until Traefik of no host serves a trusted certificate for *name*.
        """
        root = self.pebble.root()

        def is_removed() -> bool | None:
            return not any(host.serial(name, root) for host in self.all) or None

        wait_until(is_removed, lambda: f"a host serves {name}", PATIENCE_SECONDS)

    def states(self, on: int = 1) -> list[dict[str, Any]]:
        """
        Return what `certworker status --nodes` prints on a host, by its addresses.
        """
        lines = self.all[on - 1].worker("status", "--nodes", "--json").splitlines()
        return sorted(map(json.loads, lines), key=lambda node: str(node["host"]))

    def wait_for_states(self, expected: object, *fields: str, on: int = 1) -> None:
        """
        Wait until *fields* of the states of all hosts are *expected*.
        """

        def found() -> list[tuple[Any, ...]]:
            return [tuple(node[field] for field in fields) for node in self.states(on)]

        wait_until(
            lambda: found() == expected or None,
            lambda: str(self.states(on)),
            PATIENCE_SECONDS,
            pause_seconds=0.3,
        )

    def wait_until_all_have_all_names(self) -> None:
        """
        Wait until two workers and a mirror are not away, and report as many names as the agenda has.
        """

        def reached() -> bool | None:
            names = int(self.all[0].redis("ZCARD", "certworker:agenda"))
            present = [(node["role"], node["names"]) for node in self.states() if not node["away"]]
            return present == [("worker", names), ("worker", names), ("mirror", names)] or None

        wait_until(reached, lambda: str(self.states()), PATIENCE_SECONDS, pause_seconds=0.3)

    def _make_private_network(self) -> IPv4Network:
        # The engine chooses a free subnet. Only a network with a given subnet has fixed addresses.
        self._docker("network", "create", self._private)
        template = "{{(index .IPAM.Config 0).Subnet}}"
        network = IPv4Network(self._docker("network", "inspect", "--format", template, self._private).strip())
        self._docker("network", "rm", self._private)
        _, upper = network.subnets(1)
        self._docker("network", "create", f"--subnet={network}", f"--ip-range={upper}", self._private)
        return network

    @staticmethod
    def _local(text: str, network: IPv4Network) -> str:
        return ADDRESS.sub(lambda found: str(network[10 + int(found[1])]), text)
