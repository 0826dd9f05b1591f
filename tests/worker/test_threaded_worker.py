"""
Tests of the threaded worker: its slots, and the results of its jobs.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from redis import Redis
from rq.executions import Execution

from certworker.job_slot import current_slot
from certworker.redis.client import REPLY_SECONDS
from certworker.state.priority_queues import PriorityQueues, Request
from certworker.worker.fair_scheduling import FairScheduler
from certworker.worker.job_class import job_class_for
from certworker.worker.producer import QUEUE_KEY, queue_length, request_certificate
from certworker.worker.threaded_worker import ThreadedWorker
from tests.worker.sample_tasks import end_of, eventually, push, sample_functions, worker_thread

LEASES = "rq:wip:certificates"


def pool_of(connection: Redis) -> ThreadedWorker:
    """
    Return a worker without a running loop.
    """
    return ThreadedWorker(
        connection,
        job_class_for(sample_functions(connection)),
        slots=1,
        lease_seconds=30,
        scheduling=partial(
            FairScheduler,
            connection,
            private_names=True,
            wildcards=True,
            is_proven=lambda _names, tenant: tenant is None,
            clock=lambda: datetime.now(UTC),
        ),
    )


class TestPooledWorker:
    def test_the_reply_timeout_of_the_client_stays(self, connection: Redis) -> None:
        """
        A connection that a worker opens has the reply timeout of certworker, so no call waits longer.
        """
        pool_of(connection)

        opened: Any = connection.connection_pool.make_connection()
        assert REPLY_SECONDS == opened.socket_timeout

    def test_the_result_of_a_job_is_json(self, connection: Redis) -> None:
        """
        The result of a job is JSON, which programs in any language read.
        """
        with worker_thread(connection):
            end = end_of(connection, request_certificate("a.org", connection=connection))

        assert ("finished", {"state": "issued", "names": ["a.org"]}) == end
        assert [b'["a.org", false]'] == connection.lrange("sample:issued", 0, -1)

    def test_a_job_takes_a_transaction_for_its_start_and_one_for_its_end(self, connection: Redis) -> None:
        """
        The worker records the start of a job in one transaction, and its end in another one.
        """
        push(connection, "job")
        pool = pool_of(connection)
        job = pool.find(b"job", connection)
        connection.config_resetstat()
        pool.perform_job(job, pool.queue, pool.prepare_execution(job))

        statistics = connection.info("commandstats")
        assert (2, False) == (statistics["cmdstat_exec"]["calls"], "cmdstat_watch" in statistics)
        assert b"finished" == connection.hget("rq:job:job", "status")

    def test_a_failure_has_its_message_without_a_traceback(self, connection: Redis) -> None:
        """
        The result of a failed job is the message with its remedy, without a traceback.
        """
        with worker_thread(connection):
            status, message = end_of(connection, push(connection, "full", "sample.fail"))

        assert "failed" == status
        assert message.startswith("[fs.full] The disk of /storage/certificates/a.pem is full")
        assert "Traceback" not in message

    def test_an_unexpected_error_has_its_traceback_in_the_job(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The job and one log line have the traceback of an unexpected error.
        """
        with worker_thread(connection):
            status, message = end_of(connection, push(connection, "bug", "sample.raise_unexpected"))

        assert ("failed", True) == (status, "Traceback" in message and "ZeroDivisionError" in message)
        (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert "[worker.unexpected] unexpected error in job bug" in line.getMessage()
        assert line.exc_info

    def test_a_job_whose_outcome_is_not_recorded_runs_again(self, connection: Redis) -> None:
        """
        A job whose next attempt could not be planned does not end. It runs again after its lease.
        """
        with worker_thread(connection, lease_seconds=1):
            end = end_of(connection, push(connection, "job", "sample.end_unrecorded"))

        assert ("finished", "recorded") == end
        assert 2 == connection.llen("sample:began")

    def test_a_redis_error_in_a_job_has_its_code(self, connection: Redis) -> None:
        """
        An error of Redis during a job has its code and the address of Redis.
        """
        with worker_thread(connection):
            status, message = end_of(connection, push(connection, "job", "sample.misuse_redis"))

        assert ("failed", True) == (status, message.startswith("[redis.fault] Redis at 127.0.0.1:"))

    def test_a_job_that_exceeds_its_timeout_fails(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A job that exceeds its timeout fails and releases its slot.
        """
        with worker_thread(connection):
            push(connection, "long", "sample.sleep_in_steps", timeout="1")
            status, message = end_of(connection, "long")

        assert ("failed", True) == (
            status,
            message.startswith("[queue.timeout] The job exceeded its limit of 1 sec"),
        )
        assert ["queue.timeout"] == [
            line.__dict__["code"] for line in caplog.records if line.levelname == "WARNING"
        ]

    @pytest.mark.parametrize(
        ("created", "known"),
        [
            *(("2026-01-02T03:04:05.000000Z", True), ("2026-01-02T03:04:05Z", True)),
            *(("", False), ("2026-01-02T03:04:05", False), ("x" * 2_000, False)),
        ],
    )
    def test_a_job_knows_when_it_was_requested(self, connection: Redis, created: str, known: bool) -> None:
        """
        The slot of a job has the time at which the job was created, if its hash has one.
        """

        def requested_at() -> str:
            return str(current_slot().requested_at)

        with worker_thread(connection, functions={"sample.requested_at": requested_at}):
            _, result = end_of(connection, push(connection, "x", "sample.requested_at", created_at=created))

        assert result == ("2026-01-02 03:04:05+00:00" if known else "None")

    def test_a_deferred_request_knows_when_it_was_requested(self, connection: Redis) -> None:
        """
        A request that waited in a priority queue has the time at which it was enqueued there.
        """
        enqueued = 1_800_000_000
        seen: list[datetime | None] = []

        def issue(domain: str, force: bool = False, tenant: str = "") -> dict[str, object]:
            seen.append(current_slot().requested_at)
            return {"state": "issued", "names": [domain, force, tenant]}

        PriorityQueues(connection).put("new", {Request(("a.org",), "a.org"): enqueued})
        with worker_thread(connection, functions={"certworker.issue": issue}):
            request_certificate("b.org", connection=connection)
            request_certificate("c.b.org", connection=connection)
            assert eventually(lambda: datetime.fromtimestamp(enqueued, UTC) in seen)

    def test_slots_run_concurrently(self, connection: Redis) -> None:
        """
        Sixteen slots run sixteen jobs concurrently.
        """
        jobs = [push(connection, f"job-{number}", "sample.hold") for number in range(16)]

        with worker_thread(connection, slots=16):
            assert eventually(lambda: connection.llen("sample:began") == 16)
            connection.set("sample:release", 1)
            assert {("finished", "held")} == {end_of(connection, job) for job in jobs}

    def test_a_worker_without_a_free_slot_takes_no_job(self, connection: Redis) -> None:
        """
        A worker without a free slot leaves jobs on the queue, where another worker can take them.
        """
        for number in range(5):
            push(connection, f"job-{number}", "sample.hold")

        with worker_thread(connection, slots=2):
            assert eventually(lambda: connection.llen("sample:began") == 2)
            # Without the limit, the worker would take a third job within this time.
            time.sleep(0.4)

            assert (3, 2) == (queue_length(connection), connection.zcard(LEASES))
            assert 0 == connection.llen(f"{QUEUE_KEY}:intermediate")
            connection.set("sample:release", 1)

    def test_a_job_can_run_longer_than_its_lease(self, connection: Redis) -> None:
        """
        No other worker recovers a job that runs longer than its lease, because its worker renews the
        lease.
        """
        with worker_thread(connection, lease_seconds=3), worker_thread(connection, lease_seconds=3):
            end_of(connection, push(connection, "long", "sample.sleep", 7))

        assert 1 == connection.llen("sample:began")

    def test_a_heartbeat_does_not_change_the_hash_of_a_job(self, connection: Redis) -> None:
        """
        The first heartbeat of a job renews its lease and does not change its hash.
        """
        push(connection, "job", "sample.sleep", 1)
        pool = pool_of(connection)
        job = pool.find(b"job", connection)
        with connection.pipeline() as pipeline:
            execution = Execution.create(job, 1, pipeline)
            pipeline.execute()
        before = connection.hgetall("rq:job:job")
        pool.maintain_heartbeats(job, execution)

        assert before == connection.hgetall("rq:job:job")
        assert (connection.zscore(LEASES, execution.composite_key) or 0) > time.time() + 20

    def test_a_worker_without_a_job_is_idle(self, connection: Redis) -> None:
        """
        The state of a worker is `idle` after its last job. `rq info` shows it.
        """
        with worker_thread(connection):
            end_of(connection, push(connection, "job"))
            (worker,) = connection.keys("rq:worker:*")
            assert eventually(lambda: connection.hget(worker, "state") == b"idle", seconds=3)
