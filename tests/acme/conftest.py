"""
The Pebbles of this machine, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.pebble import Pebble, programs


@pytest.fixture(scope="session", params=["preferred", "oldest"])
def each_pebble(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """
    The Pebble that is preferred, and the oldest one there is: Debian's, mostly.
    """
    program = programs()[0 if request.param == "preferred" else -1]
    server = Pebble(tmp_path_factory.mktemp("pebble"), program)
    server.start()
    yield server
    server.close()
