"""
The installation of a scenario.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from tests.scenarios.installation import Installation
from tests.servers.redis import RedisServer


@pytest.fixture
def installation(tmp_path: Path, redis_server: RedisServer, connection: Redis) -> Iterator[Installation]:
    """
    Yield an installation without a problem.
    """
    with ExitStack() as stack:
        yield Installation(tmp_path, redis_server, connection, stack)
