"""
The real servers that the tests run against.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from certworker.app import App
from certworker.redis.client import connect
from certworker.redis.url import RedisURL
from tests.app_fixture import open_app
from tests.servers.development import ChallengeServer, development_authority
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.pebble import Pebble
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.zones import World

#: They need a container engine, CAs of other projects, or more time: `make test-containers`,
#: `make test-interop`, `make fuzz`.
collect_ignore = ["containers", "fuzz", "interop"]

# As in the worker: how many visitors wait at the door is nobody's news.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)

# On a busy machine an example may take long, and that is no failure.
settings.register_profile(
    "suite", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


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
    An empty Redis, by the client that the worker uses.
    """
    with connect(RedisURL.parse(redis_server.url), connections=200) as client:
        client.flushall()
        yield client


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """
    A Redis of one's own: to be harmed, or because a worker's scheduler should not meet that of another test.
    """
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def challenge_server() -> Iterator[ChallengeServer]:
    """
    The web server at which `authority` looks for the answers to its challenges.
    """
    with ChallengeServer() as server:
        yield server


@pytest.fixture
def authority(tmp_path: Path, challenge_server: ChallengeServer) -> Iterator[FaultyAuthority]:
    """
    The development CA, started; names under `.localhost` are validated at `challenge_server`.
    """
    with development_authority(tmp_path, http01_port=challenge_server.port) as started:
        yield started


@pytest.fixture(scope="session")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """
    One Pebble for the tests of this process; at most 4 orders under way at a time.

    It looks for answers at `pebble.http_port`: `ChallengeServer(port=pebble.http_port)`.
    """
    server = Pebble(tmp_path_factory.mktemp("pebble"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def dns_world() -> Iterator[World]:
    """
    A resolver without zones; each test brings its own.
    """
    with World() as world:
        yield world


@pytest.fixture
def http_port() -> int:
    """
    A free port: where a house or a worker has its door.
    """
    return free_port()


@pytest.fixture
def app_authority(tmp_path: Path, http_port: int) -> Iterator[FaultyAuthority]:
    """
    The development CA, started; it looks for answers at the door on `http_port`.
    """
    with development_authority(tmp_path, http01_port=http_port) as started:
        yield started


@pytest.fixture
def app(
    tmp_path: Path, connection: redis.Redis, app_authority: FaultyAuthority, http_port: int
) -> Iterator[App]:
    """
    A whole house that orders from `app_authority`.
    """
    with open_app(tmp_path, connection, app_authority.directory_url, http_port) as opened:
        yield opened


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """
    A directory that this process may read, but not write; root becomes nobody for a while.
    """
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        directory.chmod(0o555)
        us = os.geteuid()
        if us == 0:
            os.seteuid(65534)
        yield directory
        os.seteuid(us)
        directory.chmod(0o755)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    The longest tests, which have a time limit of their own, come first: nobody waits for them at the end.
    """
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)
