"""
Fixtures: an empty volume, an empty configuration directory, and a CA to fill them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.storage.certificate_store import CertificateStore
from certworker.traefik.config import TraefikConfig
from tests.memory import in_memory
from tests.storage.authority import Signer
from tests.storage.site import Site


@pytest.fixture(scope="session")
def signer() -> Signer:
    """
    Return the CA that signs the stored certificates.
    """
    return Signer()


@pytest.fixture
def volume(tmp_path: Path) -> CertificateStore:
    """
    Return an empty volume.
    """
    return CertificateStore(tmp_path / "certificates")


@pytest.fixture
def traefik(tmp_path: Path) -> TraefikConfig:
    """
    Return an empty configuration of Traefik.
    """
    return TraefikConfig(tmp_path / "config")


@pytest.fixture
def site(signer: Signer, tmp_path: Path) -> Iterator[Site]:
    """
    Yield two empty directories, in memory if possible, because tests write thousands of states.
    """
    with in_memory(tmp_path) as memory:
        root = memory / "disk"
        for directory in (root / "certificates", root / "config"):
            directory.mkdir(parents=True)
        yield Site(root, signer)
