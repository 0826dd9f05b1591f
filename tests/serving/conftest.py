"""
An empty volume, an empty configuration directory, and a CA to fill them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.serving.traefik import Traefik
from certworker.serving.volume import Volume
from tests.serving.authority import Signer


@pytest.fixture(scope="session")
def signer() -> Signer:
    """
    The CA that signs what is stored.
    """
    return Signer()


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """
    An empty volume.
    """
    return Volume(tmp_path / "certificates")


@pytest.fixture
def traefik(tmp_path: Path) -> Traefik:
    """
    The configuration of a Traefik that has none.
    """
    return Traefik(tmp_path / "config")


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """
    A directory that this process may read, but not write; root becomes nobody for a while.
    """
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        directory.chmod(0o555)
        us = os.geteuid()
        if us == 0:
            os.seteuid(65534)
        yield directory
        os.seteuid(us)
        directory.chmod(0o755)
