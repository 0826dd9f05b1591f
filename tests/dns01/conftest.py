"""
Name servers that accept changes.
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
    A BIND with the open zone `example.com`, and with `closed.org`, which no key may change.
    """
    place: Path = tmp_path_factory.mktemp("bind")
    zones: dict[str, tuple[str, ...]] = {"example.com": (), "closed.org": ()}
    with Bind(place, ("127.0.0.1", free_port()), zones, closed=["closed.org"]) as server:
        yield server
