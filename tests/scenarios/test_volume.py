"""
Scenarios of the volumes.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from certworker.app import App
from certworker.storage.certificate_store import CertificateStore
from tests.scenarios.installation import NAME, Installation
from tests.scenarios.scenario import DAY, SOON, Scenario, attempt, check_scenario, each_scenario
from tests.storage.authority import Signer

DIRECTORIES = ("CERTWORKER_CERTIFICATES_DIR", "CERTWORKER_CONFIG_DIR", "CERTWORKER_STATE_DIR")


def forbidden(variable: str) -> Callable[[Installation], object]:
    """
    Return a step that makes the directory of *variable* read-only. Root becomes the user `nobody` for the
    test.
    """

    def build(installation: Installation) -> None:
        # Without this setting, the check of port 80 would fail, because the webroot is on the same volume.
        installation.settings["CERTWORKER_WEBROOT"] = "off"
        for each in DIRECTORIES:
            path = Path(installation.stack.enter_context(tempfile.TemporaryDirectory()))
            path.chmod(0o555 if each == variable else 0o777)
            installation.settings[each] = str(path)
        # Load the codec now, because the user `nobody` may have no access to its module.
        "ü".encode("punycode")
        user = os.geteuid()
        if user == 0:
            installation.stack.callback(os.seteuid, user)
            installation.before.append(lambda _app: os.seteuid(65534))

    return build


def damaged(file: str, content: bytes) -> Callable[[Installation], object]:
    """
    Return a step that issues a certificate and overwrites one of its files.
    """

    def overwrite(app: App) -> None:
        (path,) = Path(app.settings.certificates_dir).glob(f".certworker/generations/*/{file}")
        path.chmod(0o600)
        path.write_bytes(content)

    return lambda installation: installation.before.extend((attempt(NAME), overwrite))


def file_instead_of_directory(installation: Installation) -> None:
    """
    Replace Traefik's directory with a file.
    """
    installation.environ()
    path = installation.directory / "config" / "file"
    installation.settings["CERTWORKER_CONFIG_DIR"] = str(path)
    # A file at the start would be an invalid setting.
    installation.before.append(lambda _: path.write_text(""))


def of_a_newer_version(app: App) -> None:
    """
    Write metadata with the schema of a newer certworker.
    """
    (path,) = Path(app.settings.certificates_dir).glob(".certworker/generations/*/meta.json")
    path.chmod(0o600)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))


def hanging_worker(installation: Installation) -> None:
    """
    Hold the lock on the volume. The app waits for a shorter time than in production.
    """

    def lock(app: App) -> None:
        app.certificates._linking.timeout_seconds = 0.3
        other = CertificateStore(Path(app.settings.certificates_dir))
        installation.stack.enter_context(other._linking.held())

    installation.before.append(lock)


def faster_worker(installation: Installation) -> None:
    """
    Publish a certificate of another worker during the job.
    """
    forward, apps = installation.forward(), list[App]()

    def publish(path: str, client: socket.socket) -> bytes:
        certificate = Signer().certificate(NAME)
        apps[0].certificates.store(certificate, authority="a", kind="private", token=1_000)
        return forward(path, client)

    installation.before.append(apps.append)
    installation.serve(publish)


SCENARIOS = [
    Scenario(
        "the certificates' volume has another owner",
        "fs.readonly",
        forbidden("CERTWORKER_CERTIFICATES_DIR"),
        "--entrypoint chown SERVICE -R",
        retry_after=DAY,
        check="volumes",
    ),
    Scenario(
        "Traefik's volume is mounted read-only",
        "fs.readonly",
        forbidden("CERTWORKER_CONFIG_DIR"),
        "Mount the volume without :ro",
        retry_after=DAY,
        check="volumes",
    ),
    Scenario(
        "a missing directory", "fs.io", file_instead_of_directory, "ls -ld", retry_after=SOON, check="volumes"
    ),
    Scenario(
        "a key of another certificate",
        "fs.partial",
        damaged("privkey.pem", Signer().certificate(NAME).key.pem),
        "certworker request shop.org",
        asked=True,
        shows="warning",
    ),
    Scenario(
        "a volume of a newer version",
        "state.schema_too_new",
        lambda installation: installation.before.extend((attempt(NAME), of_a_newer_version)),
        "docker compose pull && docker compose up -d",
        retry_after=DAY,
    ),
    Scenario(
        "a worker that hangs",
        "fs.locked",
        hanging_worker,
        "docker compose restart SERVICE",
        asked=True,
        retry_after=SOON,
    ),
    Scenario(
        "another worker was faster",
        "fs.fenced",
        faster_worker,
        "certworker status shop.org",
        asked=True,
        retry_after=SOON,
    ),
    Scenario(
        "a truncated certificate, reported by the doctor",
        "fs.partial",
        damaged("fullchain.pem", b"-----BEGIN CERTIFICATE-----\n"),
        "certworker request shop.org",
        shows="doctor",
    ),
    Scenario(
        "an unreadable key, reported by the doctor",
        "fs.corrupt",
        damaged("privkey.pem", b"no key"),
        "certworker request shop.org",
        shows="doctor",
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The remedy names the directory and the command.
    """
    check_scenario(scenario, installation, caplog)
