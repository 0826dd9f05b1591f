"""
Tests of the health of a worker and its report.
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

from certworker.errors.worker import LoopStalled
from certworker.supervision import Heartbeat, Heartbeats
from certworker.worker.health import FRESH, LONGEST_REPORT, REPORTS, Health, reports
from tests.servers.redis import RedisServer
from tests.servers.worker import wait_until


class Worker:
    """
    Hold a loop and the clock of its heartbeats, as a worker does.
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
        Return the health of the worker.
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
    Report *health* to Redis in the block, which starts once *count* workers report.
    """
    health.loop.start()
    wait_until(lambda: len(reports(connection)) == count or None, lambda: "no report")
    try:
        yield
    finally:
        health.stop()


class TestReport:
    def test_a_healthy_worker_has_no_problem(self, connection: Redis, worker: Worker) -> None:
        """
        The report of a healthy worker has no problem.
        """
        assert {"healthy": True, "redis": True, "scheduler": True, "stalled": []} == worker.health(
            connection
        ).report()

    def test_a_stalled_loop_is_named_until_it_beats(self, connection: Redis, worker: Worker) -> None:
        """
        The report names a stalled loop until its next heartbeat.
        """
        health = worker.health(connection)
        worker.now += 61
        assert {"healthy": False, "redis": True, "scheduler": True, "stalled": ["maintenance"]} == (
            health.report()
        )

        worker.maintenance.beat()
        assert health.report()["healthy"] is True

    def test_a_worker_without_a_scheduler_is_unhealthy(self, connection: Redis, worker: Worker) -> None:
        """
        A worker is unhealthy before its scheduler starts.
        """
        worker.scheduler = False

        assert worker.health(connection).report()["healthy"] is False

    def test_an_unreachable_redis_has_its_reason(self, own_redis: RedisServer, worker: Worker) -> None:
        """
        The report explains why Redis is unreachable, and still contains its other parts.
        """
        own_redis.kill()
        report = worker.health(own_redis.client()).report()

        assert (False, False, True) == (report["healthy"], report["redis"], report["scheduler"])
        assert "refused" in str(report["reason"])


class TestReports:
    def test_the_report_is_in_redis(self, connection: Redis, worker: Worker) -> None:
        """
        Redis stores the report of /healthz with the host name, and the key expires.
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
        A stopped worker has no report, so `certworker health` and `doctor` do not name its loops.
        """
        worker.now += 61
        with reporting(worker.health(connection), connection):
            assert 1 == len(reports(connection))

        assert [] == reports(connection)
        assert [] == list(connection.scan_iter(f"{REPORTS}*"))

    def test_the_id_of_an_expired_report_is_removed(self, connection: Redis, worker: Worker) -> None:
        """
        The next report of another worker removes the id of an expired report.
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
        A start removes the report of a killed process. A new container can have the same host and
        process id.
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
        The next report sets the expiry of a report without one, so an ended worker does not stay
        healthy.
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
            b'{"host": "x", "healthy": true, "scheduler": true, "stalled": [], "proxy": {"seconds": NaN}}',
            b'{"host": "' + b"x" * LONGEST_REPORT + b'"}',
        ],
        ids=lambda planted: str(planted[:30]),
    )
    def test_an_invalid_report_does_not_affect_the_others(
        self, connection: Redis, worker: Worker, planted: bytes
    ) -> None:
        """
        A reader skips an invalid report, or makes it printable.
        """
        connection.sadd(REPORTS, "planted", b"\xff" * 50, "x" * 10_000)
        connection.set(f"{REPORTS}:planted", planted)
        health = worker.health(connection)
        health.loop.start()
        try:
            own = wait_until(
                lambda: [each for each in reports(connection) if each.host == socket.gethostname()] or None,
                lambda: "no report",
            )
        finally:
            health.stop()

        assert 1 == len(own)
        assert json.dumps([each.as_json() for each in reports(connection)]).isprintable()


class TestStall:
    def test_a_stall_is_logged_once_with_its_call_stack(
        self, connection: Redis, worker: Worker, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log names a stalled loop once, with its call stack, and the end of the stall.
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

        stalled, recovered = caplog.records
        assert "worker.stalled" == stalled.__dict__["code"]
        assert stalled.message.startswith("the loop maintenance is executing ")
        remedy = LoopStalled.remedy_template
        assert stalled.message.endswith(f"is making no progress in: maintenance. {remedy}")
        assert "hang_here" in stalled.message.partition(": [worker.stalled]")[0]
        assert "the loop maintenance is making progress again" == recovered.message
