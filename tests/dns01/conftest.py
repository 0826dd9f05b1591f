"""
Provide name servers that accept dynamic updates.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.bind import Bind
from tests.servers.ports import free_port


@pytest.fixture(scope="module")
def bind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    """
    Start a BIND with the zone `example.com`, and with `closed.org`, which accepts no updates.
    """
    directory: Path = tmp_path_factory.mktemp("bind")
    zones: dict[str, tuple[str, ...]] = {"example.com": (), "closed.org": ()}
    with Bind(directory, ("127.0.0.1", free_port()), zones, closed=["closed.org"]) as server:
        yield server
