"""
The worker, Redis and CA that the tests of the commands use.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_fixture import environment
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess


@pytest.fixture
def worker(
    tmp_path: Path,
    redis_server: RedisServer,
    connection: object,
    app_authority: FaultyAuthority,
    http_port: int,
) -> Iterator[WorkerProcess]:
    """
    Yield a worker that has not been started. Commands run without it, too.
    """
    variables = environment(
        tmp_path,
        app_authority.directory_url,
        http_port,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(redis_server.port),
        _APP_DOMAIN="main.localhost",
    )
    process = WorkerProcess(variables, tmp_path / "worker.log")
    yield process
    process.kill()
