"""
Real proxies in processes of their own, and what they serve.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certworker.settings import HttpAddress
from certworker.traefik.tls_probe import served_certificate
from tests.servers.worker import wait_until


@contextmanager
def running(command: list[str | Path], directory: Path) -> Iterator[Path]:
    """
    Run *command* with *directory* as its home; yield the path of its log.
    """
    log = directory / "proxy.log"
    with log.open("wb") as output:
        environ = {"HOME": str(directory), "PATH": "/usr/bin:/bin"}
        process = subprocess.Popen(command, cwd=directory, env=environ, stdout=output, stderr=output)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(20)


def wait_for(name: str, port: int, certificate: bytes | None, log: Path) -> None:
    """
    Wait until a client of *name* gets *certificate*; None for any other one, or none.
    """

    def is_served() -> bool | None:
        try:
            found = served_certificate(name, HttpAddress("127.0.0.1", port))
        except OSError:
            return certificate is None or None
        return found == certificate or None

    wait_until(is_served, log.read_text, pause_seconds=0.1)
