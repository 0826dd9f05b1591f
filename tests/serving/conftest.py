"""
An empty volume, an empty configuration directory, and a CA to fill them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.serving.traefik import Traefik
from certworker.serving.volume import Volume
from tests.memory import in_memory
from tests.serving.authority import Signer
from tests.serving.site import Site


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
def site(signer: Signer, tmp_path: Path) -> Iterator[Site]:
    """
    Two empty directories, in memory where the machine has such a place: thousands of states are written.
    """
    with in_memory(tmp_path) as place:
        root = place / "disk"
        for directory in (root / "certificates", root / "config"):
            directory.mkdir(parents=True)
        yield Site(root, signer)
