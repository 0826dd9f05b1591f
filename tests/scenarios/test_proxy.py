"""
Scenarios of Traefik after an issuance.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from certworker.app import App
from certworker.devca.proxy import DevelopmentProxy
from certworker.traefik.file_format import configuration
from certworker.traefik.reload_interval import MANY_CERTIFICATES
from certworker.traefik.shards import render, shard_file
from tests.scenarios.installation import NAME, Installation
from tests.scenarios.scenario import Scenario, attempt, check_scenario, each_scenario
from tests.storage.authority import Signer


def traefik(files_of: Callable[[str], tuple[Path, Path] | None], installation: Installation) -> None:
    """
    Issue a certificate, and start a proxy that serves *files_of* each name.
    """
    proxy = DevelopmentProxy(files_of)
    proxy.start()
    installation.stack.callback(proxy.stop)
    installation.settings["CERTWORKER_PROXY_ADDRESS"] = f"127.0.0.1:{proxy.port}"
    installation.before.append(attempt(NAME))


def serves(name: str) -> Callable[[Installation], object]:
    """
    Return a step in which Traefik serves a certificate for *name* instead of the issued one.
    """

    def build(installation: Installation) -> None:
        certificate = Signer().certificate(name)
        chain, key = installation.directory / "old.pem", installation.directory / "old.key"
        chain.write_bytes(certificate.fullchain_pem)
        key.write_bytes(certificate.key.pem)
        traefik(lambda _name: (chain, key), installation)

    return build


def invalid_file(installation: Installation) -> None:
    """
    Write an invalid file to the directory of certworker's files.
    """

    def write(app: App) -> None:
        (app.settings.config_dir / "routes.yml").write_text("[")

    installation.before.append(write)


def many_certificates(installation: Installation) -> None:
    """
    Write a shard with many certificates.
    """

    def write(app: App) -> None:
        entries = {
            f"shop{number}.example.com": configuration(Path(f"/gone/{number}"), address=False)
            for number in range(MANY_CERTIFICATES)
        }
        (app.settings.config_dir / shard_file("0")).write_bytes(render(entries))

    installation.before.append(write)


SCENARIOS = [
    Scenario(
        "Traefik has no certificate for the name",
        "proxy.default_cert",
        lambda installation: traefik(lambda _name: None, installation),
        "--providers.file.watch=true",
        shows="doctor",
    ),
    Scenario(
        "Traefik serves its default certificate",
        "proxy.default_cert",
        serves("TRAEFIK DEFAULT CERT"),
        "docker compose up -d traefik",
        shows="doctor",
    ),
    Scenario(
        "Traefik serves an old certificate",
        "proxy.old_cert",
        serves(NAME),
        "docker compose restart traefik",
        shows="doctor",
    ),
    Scenario(
        "an invalid file of another program",
        "proxy.yaml_broken",
        invalid_file,
        "routes.yml.broken",
        shows="doctor",
    ),
    Scenario(
        "a file with 5,000 certificates",
        "proxy.many_certificates",
        many_certificates,
        "certworker request --together",
        shows="doctor",
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The remedy has the command for Traefik.
    """
    check_scenario(scenario, installation, caplog)
