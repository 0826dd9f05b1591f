"""
A10: the volumes.
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
from tests.scenarios.scenario import DAY, SOON, Scene, play, played, tried
from tests.scenarios.worlds import NAME, Stage
from tests.storage.authority import Signer

DIRECTORIES = ("CERTWORKER_CERTIFICATES_DIR", "CERTWORKER_CONFIG_DIR", "CERTWORKER_STATE_DIR")


def forbidden(variable: str) -> Callable[[Stage], object]:
    """
    One of the directories may be read, but not written; root becomes nobody for a while.
    """

    def build(stage: Stage) -> None:
        # With it the check of port 80 would fail by the same volume.
        stage.settings["CERTWORKER_WEBROOT"] = "off"
        for each in DIRECTORIES:
            place = Path(stage.stack.enter_context(tempfile.TemporaryDirectory()))
            place.chmod(0o555 if each == variable else 0o777)
            stage.settings[each] = str(place)
        # Nobody may not be allowed to read what Python loads at the first foreign name.
        "ü".encode("punycode")
        us = os.geteuid()
        if us == 0:
            stage.stack.callback(os.seteuid, us)
            stage.before.append(lambda _app: os.seteuid(65534))

    return build


def damaged(file: str, content: bytes) -> Callable[[Stage], object]:
    """
    A certificate was issued, and then one of its files was overwritten.
    """

    def overwrite(app: App) -> None:
        (path,) = Path(app.settings.certificates_dir).glob(f".certworker/generations/*/{file}")
        path.chmod(0o600)
        path.write_bytes(content)

    return lambda stage: stage.before.extend((tried(NAME), overwrite))


def a_file_in_the_way(stage: Stage) -> None:
    """
    Where Traefik's directory should be, something else is.
    """
    stage.environ()
    place = stage.place / "config" / "file"
    stage.settings["CERTWORKER_CONFIG_DIR"] = str(place)
    # Of one that is there at the start the settings would complain.
    stage.before.append(lambda _: place.write_text(""))


def of_a_newer_version(app: App) -> None:
    """
    A newer certworker has been at the volume.
    """
    (path,) = Path(app.settings.certificates_dir).glob(".certworker/generations/*/meta.json")
    path.chmod(0o600)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))


def a_worker_that_hangs(stage: Stage) -> None:
    """
    It has the volume to itself and does not end; the house waits for it less long than in production.
    """

    def lock(app: App) -> None:
        app.certificates._linking.patience_seconds = 0.3
        other = CertificateStore(Path(app.settings.certificates_dir))
        stage.stack.enter_context(other._linking.held())

    stage.before.append(lock)


def a_faster_worker(stage: Stage) -> None:
    """
    While a job is under way, a worker that took ours for dead publishes what it has issued.
    """
    passes_on, apps = stage.passes_on(), list[App]()

    def publish(path: str, visitor: socket.socket) -> bytes:
        certificate = Signer().certificate(NAME)
        apps[0].certificates.store(certificate, authority="a", kind="private", token=1_000)
        return passes_on(path, visitor)

    stage.before.append(apps.append)
    stage.serve(publish)


SCENES = [
    Scene(
        "the certificates' volume has another owner",
        "fs.readonly",
        forbidden("CERTWORKER_CERTIFICATES_DIR"),
        "--entrypoint chown appwrite-worker-certificates -R",
        again=DAY,
        check="volumes",
    ),
    Scene(
        "Traefik's volume is mounted read-only",
        "fs.readonly",
        forbidden("CERTWORKER_CONFIG_DIR"),
        "Mount the volume without :ro",
        again=DAY,
        check="volumes",
    ),
    Scene("no directory at all", "fs.io", a_file_in_the_way, "ls -ld", again=SOON, check="volumes"),
    Scene(
        "a key of another certificate",
        "fs.partial",
        damaged("privkey.pem", Signer().certificate(NAME).key.pem),
        "certworker status shop.org",
        asked=True,
        shows="warning",
    ),
    Scene(
        "a volume of a newer version",
        "state.schema_too_new",
        lambda stage: stage.before.extend((tried(NAME), of_a_newer_version)),
        "docker compose pull appwrite-worker-certificates",
        again=DAY,
    ),
    Scene(
        "a worker that hangs",
        "fs.locked",
        a_worker_that_hangs,
        "docker compose restart appwrite-worker-certificates",
        asked=True,
        again=SOON,
    ),
    Scene(
        "another worker was faster",
        "fs.fenced",
        a_faster_worker,
        "certworker status shop.org",
        asked=True,
        again=SOON,
    ),
    Scene(
        "a truncated certificate, reported by the doctor",
        "fs.partial",
        damaged("fullchain.pem", b"-----BEGIN CERTIFICATE-----\n"),
        "certworker status shop.org",
        shows="doctor",
    ),
    Scene(
        "a key that is none, says the doctor",
        "fs.corrupt",
        damaged("privkey.pem", b"no key"),
        "certworker status shop.org",
        shows="doctor",
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells the directory, and what to type.
    """
    play(scene, stage, caplog)
