"""
The stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from tests.scenarios.worlds import Stage
from tests.servers.redis import RedisServer


@pytest.fixture
def stage(tmp_path: Path, redis_server: RedisServer, connection: Redis) -> Iterator[Stage]:
    """
    A world in order.
    """
    with ExitStack() as stack:
        yield Stage(tmp_path, redis_server, connection, stack)
