"""
The health of a worker and its report.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from certworker.supervision import Heartbeat, Heartbeats
from certworker.worker.health import FRESH, LONGEST_REPORT, REPORTS, Health, reports
from tests.servers.redis import RedisServer
from tests.servers.worker import wait_until


class Worker:
    """
    A worker with one loop, and the clock of its heartbeats.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.maintenance = Heartbeat("maintenance", 30, clock=lambda: self.now)
        self.maintenance.beat()
        self.heartbeats = Heartbeats()
        self.heartbeats.add(self.maintenance)
        self.scheduler = True

    def health(self, connection: Redis) -> Health:
        """
        Return its health.
        """
        return Health(connection, self.heartbeats, lambda: self.scheduler)


@pytest.fixture
def worker() -> Worker:
    """
    Return a healthy worker.
    """
    return Worker()


@contextmanager
def reporting(health: Health, connection: Redis, count: int = 1) -> Iterator[None]:
    """
    Let *health* report to Redis, and wait until *count* workers have.
    """
    health.loop.start()
    wait_until(lambda: len(reports(connection)) == count or None, lambda: "no report")
    try:
        yield
    finally:
        health.stop()


class TestReport:
    def test_a_healthy_worker(self, connection: Redis, worker: Worker) -> None:
        """
        All parts of its report are good.
        """
        assert {"healthy": True, "redis": True, "scheduler": True, "stalled": []} == worker.health(
            connection
        ).report()

    def test_a_stalled_loop_is_named_until_it_beats(self, connection: Redis, worker: Worker) -> None:
        """
        The report names the loop.
        """
        health = worker.health(connection)
        worker.now += 61
        assert {"healthy": False, "redis": True, "scheduler": True, "stalled": ["maintenance"]} == (
            health.report()
        )

        worker.maintenance.beat()
        assert health.report()["healthy"] is True

    def test_a_worker_without_a_scheduler_is_not_healthy(self, connection: Redis, worker: Worker) -> None:
        """
        A worker whose start is not complete is not healthy.
        """
        worker.scheduler = False

        assert worker.health(connection).report()["healthy"] is False

    def test_a_redis_that_is_away_has_its_reason(self, own_redis: RedisServer, worker: Worker) -> None:
        """
        The report still has the other parts.
        """
        own_redis.kill()
        report = worker.health(own_redis.client()).report()

        assert (False, False, True) == (report["healthy"], report["redis"], report["scheduler"])
        assert "refused" in str(report["reason"])


class TestReports:
    def test_the_report_is_in_redis(self, connection: Redis, worker: Worker) -> None:
        """
        It is the answer of /healthz with the name of the host, and it expires.
        """
        worker.now += 61
        health = worker.health(connection)
        with reporting(health, connection):
            (report,) = reports(connection)
            (key,) = connection.scan_iter(f"{REPORTS}:*")

            assert socket.gethostname() == report.host
            assert health.report() == report.as_json()
            assert 0 < connection.ttl(key) <= FRESH.total_seconds()

    def test_a_worker_that_stops_removes_its_report(self, connection: Redis, worker: Worker) -> None:
        """
        `certworker health` and `doctor` must not name the loops of a worker that has ended.
        """
        worker.now += 61
        with reporting(worker.health(connection), connection):
            assert 1 == len(reports(connection))

        assert [] == reports(connection)
        assert [] == list(connection.scan_iter(f"{REPORTS}*"))

    def test_the_id_of_an_expired_report_is_removed(self, connection: Redis, worker: Worker) -> None:
        """
        The next report of another worker removes it.
        """
        connection.sadd(REPORTS, "expired")

        with reporting(worker.health(connection), connection):
            wait_until(lambda: connection.scard(REPORTS) == 1 or None, lambda: "still two")

    @pytest.mark.parametrize(
        ("host", "process", "stays"),
        [
            (None, os.getpid, False),
            (None, lambda: 2**22 + 1, False),
            (None, lambda: 10**30, False),
            (None, os.getppid, True),
            ("another", os.getpid, True),
        ],
        ids=["own", "ended", "impossible", "running", "of another host"],
    )
    def test_a_start_removes_the_reports_of_ended_processes(
        self,
        connection: Redis,
        worker: Worker,
        host: str | None,
        process: Callable[[], int],
        stays: bool,
    ) -> None:
        """
        A killed worker has left its report. In a container the new worker has the same host and process id.
        """
        killed = {"host": host or socket.gethostname(), "pid": process(), "healthy": False}
        report = {**killed, "scheduler": False, "stalled": ["jobs"]}
        connection.sadd(REPORTS, "killed")
        connection.set(f"{REPORTS}:killed", json.dumps(report), ex=FRESH)

        worker.health(connection)._step()

        assert stays == any("jobs" in report.stalled for report in reports(connection))
        assert 1 + stays == len(reports(connection))

    def test_a_report_without_expiry_expires(self, connection: Redis, worker: Worker) -> None:
        """
        Otherwise a worker that has ended would be healthy forever.
        """
        connection.sadd(REPORTS, "planted")
        connection.set(f"{REPORTS}:planted", "{}")

        with reporting(worker.health(connection), connection):
            wait_until(lambda: connection.ttl(f"{REPORTS}:planted") != -1 or None, lambda: "without end")

    @pytest.mark.parametrize(
        "planted",
        [
            b"",
            b"\xff",
            b"[]",
            b"5",
            b"{}",
            b"[" * 5_000,
            b'{"host": "x"}',
            b'{"host": 5, "healthy": 1, "scheduler": {}, "stalled": 5}',
            b'{"host": "x", "healthy": true, "scheduler": true, "stalled": [[1], {}], "reason": 1e999}',
            b'{"host": "' + b"x" * LONGEST_REPORT + b'"}',
        ],
        ids=lambda planted: str(planted[:30]),
    )
    def test_an_invalid_report_does_not_affect_the_others(
        self, connection: Redis, worker: Worker, planted: bytes
    ) -> None:
        """
        It is skipped, or it is printable.
        """
        connection.sadd(REPORTS, "planted", b"\xff" * 50, "x" * 10_000)
        connection.set(f"{REPORTS}:planted", planted)
        health = worker.health(connection)
        health.loop.start()
        try:
            ours = wait_until(
                lambda: [each for each in reports(connection) if each.host == socket.gethostname()] or None,
                lambda: "no report",
            )
        finally:
            health.stop()

        assert 1 == len(ours)
        assert json.dumps([each.as_json() for each in reports(connection)]).isprintable()


class TestStall:
    def test_it_is_logged_once_with_the_calls_that_do_not_return(
        self, connection: Redis, worker: Worker, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The stack shows where the loop hangs. The log also has the end of the stall.
        """
        caplog.set_level(logging.INFO)
        hangs, end = threading.Event(), threading.Event()

        def hang_here() -> None:
            worker.maintenance.beat()
            hangs.set()
            end.wait(30)

        thread = threading.Thread(target=hang_here)
        thread.start()
        assert hangs.wait(30)
        health = worker.health(connection)
        worker.now += 61
        for _ in range(2):
            health._log_stalls()
        end.set()
        thread.join()
        worker.maintenance.beat()
        health._log_stalls()

        stalled, again = caplog.records
        assert "worker.stalled" == stalled.__dict__["code"]
        assert "makes no progress in: maintenance" in stalled.message
        assert "hang_here" in stalled.message
        assert "the loop maintenance makes progress again" == again.message
