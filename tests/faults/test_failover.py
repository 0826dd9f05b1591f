"""
The primary of a Redis crashes or retires, and Sentinels promote its replica: the worker continues.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

import pytest

from certworker.state.wake_ups import SCHEDULED_KEY
from certworker.worker.producer import wake_at
from certworker.worker.queue_stats import queue_stats
from tests.app_fixture import environment
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.secure_sentinels import SecureSentinels
from tests.servers.sentinels import PATIENCE_SECONDS, SERVICE, Sentinels
from tests.servers.worker import WorkerProcess, wait_until


@pytest.fixture
def sentinels(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sentinels]:
    """
    Start a primary, a replica and three Sentinels, of the class in the parameter of the test.
    """
    started: Sentinels = request.param(tmp_path / "redis", password="pw")
    started.start()
    yield started
    started.kill()


class TestFailover:
    @pytest.mark.timeout(400)
    @pytest.mark.parametrize(
        ("sentinels", "promote"),
        [
            (Sentinels, Sentinels.fail_over),
            (Sentinels, Sentinels.hand_over),
            (SecureSentinels, Sentinels.fail_over),
        ],
        ids=["killed", "retired", "killed-over-tls"],
        indirect=["sentinels"],
    )
    def test_the_worker_continues_with_the_new_primary(
        self,
        tmp_path: Path,
        sentinels: Sentinels,
        app_authority: FaultyAuthority,
        http_port: int,
        promote: Callable[[Sentinels], RedisServer],
    ) -> None:
        """
        Jobs, scheduled jobs and commands use the new primary.
        """
        variables = environment(
            tmp_path,
            app_authority.directory_url,
            http_port,
            _APP_DOMAIN="first.localhost",
            CERTWORKER_REDIS_URL=sentinels.url,
        )
        with WorkerProcess(variables, tmp_path / "log") as worker:
            worker.wait_for_line("first.localhost: certificate issued")
            assert f"{SERVICE} (Sentinel 127.0.0.1" in worker.command("doctor").stdout

            with promote(sentinels).client() as promoted:
                asked = worker.command("request", "--wait", "second.localhost")
                assert 0 == asked.returncode, f"{asked.stdout}{asked.stderr}\n{worker.log}"
                wait_until(
                    lambda: queue_stats(promoted).scheduler or None, lambda: worker.log, PATIENCE_SECONDS
                )
                moment = datetime.now(UTC) + timedelta(seconds=1)
                wake_at(promoted, moment)
                look = f"look-{ceil(moment.timestamp())}"
                assert promoted.zscore(SCHEDULED_KEY, look)
                wait_until(
                    lambda: promoted.zscore(SCHEDULED_KEY, look) is None or None,
                    lambda: worker.log,
                    PATIENCE_SECONDS,
                )
                wait_until(
                    lambda: worker.get("/healthz")[0] == 200 or None, lambda: worker.log, PATIENCE_SECONDS
                )
            assert 0 == worker.command("status", "first.localhost").returncode
            assert 0 == worker.terminate()
            assert not re.search("pw@|p@ss|p%40ss", worker.log)
