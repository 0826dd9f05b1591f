"""
The real servers that the tests run against.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from certworker.app import App
from certworker.errors import systemd
from certworker.redis.client import connect
from certworker.redis.url import RedisURL
from tests.app_fixture import open_app
from tests.moving import set_target
from tests.scenarios.installation import Installation
from tests.servers.development import ChallengeServer, development_authority
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.pebble import Pebble
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.zones import World

#: These tests need a container engine, CAs of other projects, or more time. Run them with
#: `make test-containers`, `make test-interop` and `make fuzz`.
collect_ignore = ["containers", "fuzz", "interop"]

# Python compiles each module once, and not in each process, command and worker of the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Remedies contain the commands of Docker, on a machine without Docker, too.
systemd.MARKERS = (Path("/"),)

# The worker does not log the number of waiting connections, and neither do the tests.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)

# An example may take a long time on a busy machine.
settings.register_profile(
    "suite", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """
    Start one Redis for the tests of this process. A test that kills a Redis starts its own.
    """
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def connection(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """
    Connect to an empty Redis with the worker's client.
    """
    with connect(RedisURL.parse(redis_server.url), connections=200) as client:
        client.flushall()
        yield client


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """
    Start a separate Redis, which a test may kill, or in which no other test runs a scheduler.
    """
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def challenge_server() -> Iterator[ChallengeServer]:
    """
    Start the web server from which `authority` fetches challenge responses.
    """
    with ChallengeServer() as server:
        yield server


@pytest.fixture
def authority(tmp_path: Path, challenge_server: ChallengeServer) -> Iterator[FaultyAuthority]:
    """
    Start the development CA. It validates names under `.localhost` at `challenge_server`.
    """
    with development_authority(tmp_path, http01_port=challenge_server.port) as started:
        yield started


@pytest.fixture(scope="session")
def pebble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """
    Start one Pebble for the tests of this process. It allows at most 4 pending orders.

    It fetches responses from `pebble.http_port`: `ChallengeServer(port=pebble.http_port)`.
    """
    server = Pebble(tmp_path_factory.mktemp("pebble"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def dns_world() -> Iterator[World]:
    """
    Start a resolver without zones. Each test adds its own zones.
    """
    with World() as world:
        yield world


@pytest.fixture
def platform(tmp_path: Path, redis_server: RedisServer, connection: redis.Redis) -> Iterator[Installation]:
    """
    Yield an installation with a target for the domains of customers. Its name points to the target.
    """
    with ExitStack() as stack:
        yield set_target(Installation(tmp_path, redis_server, connection, stack))


@pytest.fixture
def http_port() -> int:
    """
    Return a free port, for the HTTP server of an app or a worker.
    """
    return free_port()


@pytest.fixture
def app_authority(tmp_path: Path, http_port: int) -> Iterator[FaultyAuthority]:
    """
    Start the development CA of `app`. It fetches challenge responses from `http_port`.
    """
    with development_authority(tmp_path, http01_port=http_port) as started:
        yield started


@pytest.fixture
def app(
    tmp_path: Path, connection: redis.Redis, app_authority: FaultyAuthority, http_port: int
) -> Iterator[App]:
    """
    Open an app that orders from `app_authority`.
    """
    with open_app(tmp_path, connection, app_authority.directory_url, http_port) as opened:
        yield opened


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """
    Yield a directory that this process may read, but not write. Root becomes the user `nobody`.
    """
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        directory.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield directory
        os.seteuid(user)
        directory.chmod(0o755)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """
    Exclude all modules and tests from the garbage collection. They exist until the end of the process.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run the longest tests first, so that none of them runs alone at the end: those with a time limit of their
    own, and then those with the marker `slow`.
    """
    items.sort(key=lambda item: [item.get_closest_marker(marker) is None for marker in ("timeout", "slow")])
