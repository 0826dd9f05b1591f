"""
A worker and a collector for the tests of traces.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.tracing.spans import library_logger
from tests.app_fixture import environment
from tests.servers.collector import Collector
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess


@pytest.fixture
def collector() -> Iterator[Collector]:
    """
    Start a collector.
    """
    with Collector() as started:
        yield started


@pytest.fixture
def worker(
    tmp_path: Path,
    redis_server: RedisServer,
    connection: object,
    app_authority: FaultyAuthority,
    http_port: int,
) -> Iterator[WorkerProcess]:
    """
    Yield a worker that has not been started. It logs JSON, and sends its spans soon.
    """
    variables = environment(
        tmp_path,
        app_authority.directory_url,
        http_port,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(redis_server.port),
        _APP_DOMAIN="main.localhost",
        CERTWORKER_LOG="json",
        OTEL_BSP_SCHEDULE_DELAY="50",
    )
    process = WorkerProcess(variables, tmp_path / "worker.log")
    yield process
    process.kill()


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """
    Restore the log of the SDK after the test.
    """
    handlers, propagate = library_logger.handlers, library_logger.propagate
    yield
    library_logger.handlers, library_logger.propagate = handlers, propagate
    assert logging.getLogger("opentelemetry") is library_logger
