"""
`rq suspend` and `rq resume`.
"""

from __future__ import annotations

import logging

import pytest
from redis import Redis
from rq import Worker
from rq.suspension import WORKERS_SUSPENDED, resume, suspend

from certworker.worker.producer import QUEUE_KEY, queue_length, request_certificate
from certworker.worker.suspension import REMINDER_SECONDS, Suspension, is_suspended
from tests.worker.sample_tasks import end_of, eventually, push, worker_thread


def state_of_the_worker(connection: Redis) -> str:
    """
    Return what `rq info` shows of the only worker.
    """
    (worker,) = Worker.all(connection)
    return str(worker.get_state())


def passes(connection: Redis) -> int:
    """
    Return how often the worker checked for a suspension, at most.
    """
    return int(connection.info("commandstats")["cmdstat_exists"]["calls"])


class TestWorker:
    def test_no_job_starts_until_the_work_is_resumed(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log has one line at the start and one at the end; then the job runs.
        """
        with caplog.at_level(logging.INFO, "certworker"), worker_thread(connection):
            suspend(connection)
            assert eventually(lambda: state_of_the_worker(connection) == "suspended")
            job_id = request_certificate("a.org", connection=connection)
            before = passes(connection)
            assert eventually(lambda: passes(connection) > before + 8)

            assert 1 == queue_length(connection)
            resume(connection)
            assert "finished" == end_of(connection, job_id)[0]
            assert eventually(lambda: state_of_the_worker(connection) == "idle")

        logged = [line.getMessage() for line in caplog.records if "suspension" in line.name]
        assert ["suspended by `rq suspend`", "resumed: jobs start again"] == [
            line.partition(":")[0] if "rq suspend" in line else line for line in logged
        ]

    def test_a_job_taken_at_that_time_returns_to_the_queue(self, connection: Redis) -> None:
        """
        A worker that waits for a job takes one after the suspension has started.
        """
        with worker_thread(connection):
            for number in range(5):
                push(connection, job_id := f"job{number}")
                end_of(connection, job_id)
                push(connection, job_id := f"late{number}")
                end_of(connection, job_id)
                with connection.pipeline() as pipeline:
                    pipeline.hset(f"rq:job:x{number}", "data", '["certworker.issue", null, ["x.org"], {}]')
                    pipeline.set(WORKERS_SUSPENDED, 1)
                    pipeline.rpush(QUEUE_KEY, f"x{number}")
                    pipeline.execute()
                assert eventually(lambda: state_of_the_worker(connection) == "suspended")
                assert 1 == queue_length(connection)
                connection.delete(WORKERS_SUSPENDED)
                assert "finished" == end_of(connection, f"x{number}")[0]

    def test_a_worker_that_starts_suspended_waits(self, connection: Redis) -> None:
        """
        A restart does not end the suspension.
        """
        suspend(connection)
        job_id = request_certificate("a.org", connection=connection)
        with worker_thread(connection):
            assert eventually(lambda: state_of_the_worker(connection) == "suspended")
            assert 1 == queue_length(connection)
            resume(connection)
            assert "finished" == end_of(connection, job_id)[0]


class TestSuspension:
    def test_it_is_logged_once_and_again_each_hour(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A forgotten suspension ends with expired certificates.
        """
        now = [0.0]
        suspension = Suspension(connection, lambda: now[0])
        assert not suspension.lasts()
        suspend(connection)
        with caplog.at_level(logging.INFO):
            for seconds in (0.0, 1.0, REMINDER_SECONDS - 1, REMINDER_SECONDS, REMINDER_SECONDS + 1):
                now[0] = seconds
                assert suspension.lasts()
                assert suspension.known
            resume(connection)
            assert not suspension.lasts()
            assert not suspension.lasts()

        assert ["WARNING", "WARNING", "INFO"] == [line.levelname for line in caplog.records]
        assert not suspension.known

    def test_it_may_expire(self, connection: Redis) -> None:
        """
        `rq suspend --duration` sets its end.
        """
        suspend(connection, ttl=1)

        assert eventually(lambda: not is_suspended(connection))
