"""
Provide certificate files for TLS servers.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storage.authority import Signer


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """
    Return the paths of an untrusted certificate and its key.
    """
    directory = tmp_path_factory.mktemp("pair")
    certificate = Signer().certificate("anything.example.org")
    (directory / "fullchain.pem").write_bytes(certificate.fullchain_pem)
    (directory / "privkey.pem").write_bytes(certificate.key.pem)
    return directory / "fullchain.pem", directory / "privkey.pem"
