"""
Tests of the operations on hundreds of jobs of the queue at once.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from redis import Redis

from certworker.worker.bulk import BATCH, INTERMEDIATE, BulkQueue, new_job
from certworker.worker.producer import QUEUE_KEY
from tests.worker.sample_tasks import end_of, push


class TestBatches:
    def test_a_batch_moves_to_the_intermediate_list(self, connection: Redis) -> None:
        """
        A batch of jobs is in the intermediate list, where another worker finds it after a crash.
        """
        for number in range(3):
            push(connection, f"job{number}")
        connection.lmove(QUEUE_KEY, INTERMEDIATE)
        left, jobs = BulkQueue(connection).take([b"job0"])

        assert (0, [b"job0", b"job1", b"job2"]) == (left, list(jobs))
        assert all(jobs.values())
        assert [b"job0", b"job1", b"job2"] == connection.lrange(INTERMEDIATE, 0, -1)

    def test_a_batch_takes_the_end_of_a_long_queue(self, connection: Redis) -> None:
        """
        A batch takes the last jobs of a long queue, so the request of a new tenant starts soon.
        """
        connection.rpush(QUEUE_KEY, *(f"job{number}" for number in range(BATCH + 7)))
        left, jobs = BulkQueue(connection).take([])

        assert (7, b"job7") == (left, next(iter(jobs)))

    @pytest.mark.parametrize(
        "field", [{"success_callback_name": "os.system"}, {"data": "x" * 70_000}, {"webhooks": "[]"}], ids=str
    )
    def test_an_unusual_job_has_no_data(self, connection: Redis, field: dict[str, str]) -> None:
        """
        A job with unusual or invalid fields has no data. A later check rejects it with the reason.
        """
        push(connection, "odd", **field)
        connection.set("rq:job:string", "no hash")
        connection.rpush(QUEUE_KEY, "string", "nothing", b"\xff")

        assert {b"odd": None, b"string": None, b"nothing": None, b"\xff": None} == BulkQueue(connection).take(
            []
        )[1]

    def test_requeued_jobs_are_first_and_in_order(self, connection: Redis) -> None:
        """
        Requeued jobs precede later requests, in their order.
        """
        for number in range(3):
            push(connection, f"job{number}")
        batches = BulkQueue(connection)
        batches.take([])
        push(connection, "later")
        batches.requeue([b"job0", b"job2"])

        assert [b"job0", b"job2", b"later"] == connection.lrange(QUEUE_KEY, 0, -1)
        assert [b"job1"] == connection.lrange(INTERMEDIATE, 0, -1)

    def test_an_ended_job_has_the_fields_of_rq(self, connection: Redis) -> None:
        """
        An ended job has the status, the result and the expiry that RQ writes.
        """
        push(connection, "job")
        batches = BulkQueue(connection)
        batches.take([])
        batches.end({b"job": {"state": "waiting"}}, datetime.now(UTC))

        assert ("finished", {"state": "waiting"}) == end_of(connection, "job")
        assert 0 == connection.llen(INTERMEDIATE)
        assert all(connection.ttl(key) > 0 for key in ("rq:job:job", "rq:results:job"))


class TestNewJob:
    def test_a_new_job_is_in_the_intermediate_list(self) -> None:
        """
        A new job has its own id in the intermediate list, where a worker finds it after a crash.
        """
        job = new_job("certworker.issue", datetime.now(UTC))

        assert (INTERMEDIATE, f"rq:job:{job.id}") == (job.list, job.hash)
        assert ["certworker.issue", None, [], {}] == json.loads(f"{job.before}{{}}{job.after}")
        assert new_job("certworker.issue", datetime.now(UTC)).id != job.id
