"""
Hosts with a real Redis.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from certworker.storage.certificate_store import CertificateStore
from tests.replication.hosts import Mirror, Origin


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    """
    Open an empty volume.
    """
    return CertificateStore(tmp_path / "store")


@pytest.fixture
def origin(tmp_path: Path, connection: Redis) -> Origin:
    """
    Open a host that publishes its certificates.
    """
    return Origin(tmp_path / "origin", connection)


@pytest.fixture
def mirror(tmp_path: Path, connection: Redis) -> Mirror:
    """
    Open a host that follows the stream.
    """
    return Mirror(tmp_path / "mirror", connection)
