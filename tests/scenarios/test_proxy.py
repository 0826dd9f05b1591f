"""
A11: Traefik, after the certificate is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from certworker.app import App
from certworker.devca.proxy import DevelopmentProxy
from tests.scenarios.scenario import Scene, play, played, tried
from tests.scenarios.worlds import NAME, Stage
from tests.storage.authority import Signer


def traefik(files_of: Callable[[str], tuple[Path, Path] | None], stage: Stage) -> None:
    """
    A Traefik that shows these files, and a certificate that was issued.
    """
    proxy = DevelopmentProxy(files_of)
    proxy.start()
    stage.stack.callback(proxy.stop)
    stage.settings["CERTWORKER_PROXY_ADDRESS"] = f"127.0.0.1:{proxy.port}"
    stage.before.append(tried(NAME))


def shows(name: str) -> Callable[[Stage], object]:
    """
    Traefik shows a certificate for *name* that is not the one that was issued.
    """

    def build(stage: Stage) -> None:
        certificate = Signer().certificate(name)
        chain, key = stage.place / "old.pem", stage.place / "old.key"
        chain.write_bytes(certificate.fullchain_pem)
        key.write_bytes(certificate.key.pem)
        traefik(lambda _name: (chain, key), stage)

    return build


def half_a_file(stage: Stage) -> None:
    """
    Somebody was interrupted while they edited a file beside ours.
    """

    def write(app: App) -> None:
        (app.settings.config_dir / "routes.yml").write_text("[")

    stage.before.append(write)


SCENES = [
    Scene(
        "it has nothing for the name",
        "proxy.default_cert",
        lambda stage: traefik(lambda _name: None, stage),
        "--providers.file.watch=true",
        shows="doctor",
    ),
    Scene(
        "it shows its own default",
        "proxy.default_cert",
        shows("TRAEFIK DEFAULT CERT"),
        "docker compose up -d traefik",
        shows="doctor",
    ),
    Scene(
        "it has not read its files again",
        "proxy.old_cert",
        shows(NAME),
        "docker compose kill -s HUP traefik",
        shows="doctor",
    ),
    Scene(
        "a file that stops all others",
        "proxy.yaml_broken",
        half_a_file,
        "routes.yml.broken",
        shows="doctor",
    ),
]


@played(SCENES)
def test_scene(scene: Scene, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """
    The line tells what to do to Traefik.
    """
    play(scene, stage, caplog)
