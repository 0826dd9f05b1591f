"""
Pebble as the CA in a separate container, which is not part of the compose project.
"""

from __future__ import annotations

import json
from pathlib import Path

import requests

from tests.containers.docker import Docker
from tests.containers.images import PEBBLE
from tests.servers.pebble import make_tls

DAY_SECONDS = 86_400


class ContainedPebble:
    """
    A Pebble with the name `pebble` on *network*. It validates names of this network on port 80.

    Attributes:
        container: The name of its container.
        ca_bundle: The root of its own TLS certificate. The certificates that it issues have another root.
    """

    def __init__(self, docker: Docker, network: str, directory: Path) -> None:
        self._docker = docker
        self.network = network
        self._directory = directory
        self.container = f"{network}-pebble"
        self.ca_bundle = directory / "root.pem"

    def start(self, *, lifetime_seconds: int = 90 * DAY_SECONDS, **options: str) -> None:
        """
        Start Pebble with *options* as environment variables.
        """
        self._directory.mkdir(exist_ok=True)
        certificate, key = make_tls(self._directory, "pebble")
        settings = {
            "listenAddress": "0.0.0.0:14000",
            "managementListenAddress": "0.0.0.0:15000",
            "certificate": f"/pebble/{certificate.name}",
            "privateKey": f"/pebble/{key.name}",
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            # The first setting is for releases without profiles, and the second for releases with profiles.
            "certificateValidityPeriod": lifetime_seconds,
            "profiles": {"default": {"description": "The only one", "validityPeriod": lifetime_seconds}},
        }
        (self._directory / "pebble.json").write_text(json.dumps({"pebble": settings}))
        environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        self._docker(
            *("run", "--detach", "--name", self.container),
            *("--network", self.network, "--network-alias", "pebble"),
            *("--volume", f"{self._directory}:/pebble:ro", "--publish", "127.0.0.1::15000"),
            *(word for each in (environment | options).items() for word in ("--env", "=".join(each))),
            *(PEBBLE, "-config", "/pebble/pebble.json"),
        )

    def remove(self) -> None:
        """
        Remove Pebble, which loses all accounts and orders.
        """
        self._docker.attempt("rm", "--force", "--volumes", self.container)

    def stop_for_a_while(self) -> None:
        """
        Stop Pebble for a while. Its name does not exist then.
        """
        self._docker("kill", self.container)

    def start_again(self) -> None:
        """
        Start Pebble again, without its accounts and orders.
        """
        self._docker("start", self.container)

    def orders(self) -> int:
        """
        Return the number of orders.
        """
        return self._count_in_log("Added order")

    def accounts(self) -> int:
        """
        Return the number of new accounts.
        """
        return self._count_in_log("accounts in memory")

    def root(self) -> Path:
        """
        Return the file with the root of the certificates that Pebble issues.
        """
        port = self._docker("port", self.container, "15000").strip().rpartition(":")[2]
        asked = requests.get(f"https://127.0.0.1:{port}/roots/0", verify=str(self.ca_bundle), timeout=5)
        root = self._directory / "issuer.pem"
        root.write_text(asked.text)
        return root

    def _count_in_log(self, what: str) -> int:
        ended = self._docker.attempt("logs", self.container)
        return (ended.stdout + ended.stderr).count(what)
