"""
The real servers that the tests run against.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.servers.redis import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """
    One Redis for the tests of this process; those that kill a Redis start their own.
    """
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def connection(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """
    An empty Redis.
    """
    with redis_server.client() as client:
        client.flushall()
        yield client
