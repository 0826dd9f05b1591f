"""
Run the Pebble programs of this machine, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.pebble import Pebble, programs


@pytest.fixture(scope="session", params=["preferred", "oldest"])
def each_pebble(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """
    Run the preferred Pebble and the oldest Pebble of this machine, which is usually Debian's.
    """
    program = programs()[0 if request.param == "preferred" else -1]
    server = Pebble(tmp_path_factory.mktemp("pebble"), program)
    server.start()
    yield server
    server.close()
