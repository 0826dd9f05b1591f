"""
Tests of what follows each publication.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from certworker.after_issuance import start_after_issuance
from certworker.observability.metrics.registry import Metrics
from certworker.settings import load
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig


def test_each_setting_starts_its_loop(tmp_path: Path) -> None:
    """
    Reloads, the deploy hook and the deployment check are independent, and the result stays the same.
    """
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    result = {"state": "kept", "names": ["a.example.org"]}
    off = {"CERTWORKER_PROXY_ADDRESS": "off"}
    for variables, expected in (
        (off, []),
        ({"CERTWORKER_PROXY_ADDRESS": "127.0.0.1:9"}, ["deployment_check"]),
        (off | {"CERTWORKER_DEPLOY_HOOK": str(hook)}, ["deploy_hook"]),
        (off | {"CERTWORKER_RELOAD": "mail:HUP"}, ["reloads"]),
    ):
        with ExitStack() as stack:
            after, loops = start_after_issuance(
                load(variables),
                CertificateStore(tmp_path / "certificates"),
                TraefikConfig(tmp_path / "config"),
                Metrics(),
                lambda _name, _failure: None,
                stack,
            )

            assert expected == [loop.heartbeat.name for loop in loops]
            assert result == after(lambda: result)()
