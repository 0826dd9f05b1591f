"""
Tests of the jobs that depend on other jobs, as Python programs enqueue them with RQ.
"""

from __future__ import annotations

import json
import logging

import pytest
from redis import Redis
from rq import Queue
from rq.job import Dependency
from rq.serializers import JSONSerializer

from certworker.worker.dependents import DEFERRED_KEY, Dependents
from certworker.worker.producer import QUEUE, QUEUE_KEY
from tests.worker.sample_tasks import end_of, eventually, push, worker_thread


@pytest.fixture
def queue(connection: Redis) -> Queue:
    """
    Return a producer's queue of RQ.
    """
    return Queue(QUEUE, connection=connection, serializer=JSONSerializer)


def issued(connection: Redis) -> list[str]:
    """
    Return the names that the sample worker issued, in order.
    """
    return [json.loads(note)[0] for note in connection.lrange("sample:issued", 0, -1)]


class TestRelease:
    def test_a_dependent_runs_after_its_parent(self, connection: Redis, queue: Queue) -> None:
        """
        Each job runs after the job on which it depends, and all of them finish.
        """
        first = queue.enqueue("certworker.issue", domain="a.org")
        second = queue.enqueue("certworker.issue", domain="b.org", depends_on=first)
        third = queue.enqueue("certworker.issue", domain="c.org", depends_on=second)
        with worker_thread(connection):
            ends = [end_of(connection, job.id)[0] for job in (third, second, first)]

        assert ["finished"] * 3 == ends
        assert ["a.org", "b.org", "c.org"] == issued(connection)
        assert not connection.exists(DEFERRED_KEY)

    def test_a_dependent_waits_for_all_its_parents(self, connection: Redis, queue: Queue) -> None:
        """
        A job with several parents runs after the last of them.
        """
        parents = [queue.enqueue("certworker.issue", domain=f"p{number}.org") for number in range(3)]
        last = queue.enqueue("certworker.issue", domain="last.org", depends_on=parents)
        with worker_thread(connection, slots=1):
            end_of(connection, last.id)

        assert "last.org" == issued(connection)[-1]

    def test_after_a_failed_parent_a_job_runs_only_with_allow_failure(
        self, connection: Redis, queue: Queue
    ) -> None:
        """
        After a failed parent, only a job with `allow_failure` runs, as with RQ.
        """
        failing = queue.enqueue("sample.fail")
        waits = queue.enqueue("certworker.issue", domain="waits.org", depends_on=failing)
        runs = queue.enqueue(
            "certworker.issue", domain="runs.org", depends_on=Dependency(jobs=[failing], allow_failure=True)
        )
        with worker_thread(connection):
            assert "failed" == end_of(connection, failing.id)[0]
            assert "finished" == end_of(connection, runs.id)[0]

        assert ["runs.org"] == issued(connection)
        assert b"deferred" == connection.hget(f"rq:job:{waits.id}", "status")

    @pytest.mark.parametrize(
        "planted", ["", "no such job", "a:b", "*", b"\xff\xfe", "x" * 100_000, "job", "list"]
    )
    def test_a_planted_dependent_does_not_fail_the_parent(
        self, connection: Redis, planted: bytes | str
    ) -> None:
        """
        The job finishes even if its set of dependents has invalid members.
        """
        connection.rpush("rq:job:list", "not a hash")
        connection.sadd("rq:job:job:dependents", planted)
        with worker_thread(connection):
            status, _ = end_of(connection, push(connection, "job"))

        assert "finished" == status

    def test_a_job_of_another_queue_is_not_started(
        self, connection: Redis, queue: Queue, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A dependent job of another queue stays deferred, and the log names it.
        """
        parent = queue.enqueue("certworker.issue", domain="a.org")
        others = Queue("mails", connection=connection, serializer=JSONSerializer)
        dependent = others.enqueue("os.system", "true", depends_on=parent)
        with caplog.at_level(logging.WARNING), worker_thread(connection):
            assert "finished" == end_of(connection, parent.id)[0]
            assert eventually(lambda: caplog.messages)

        assert 0 == connection.llen("rq:queue:mails")
        assert b"deferred" == connection.hget(f"rq:job:{dependent.id}", "status")
        line = f"job {dependent.id} of another queue depends on job {parent.id}"
        assert [f"{line}: certworker starts only jobs of its own queue"] == caplog.messages


class TestSweep:
    def test_a_dependent_of_a_finished_job_is_queued(self, connection: Redis, queue: Queue) -> None:
        """
        The sweep queues a dependent once if a killed worker did not release it.
        """
        parent = queue.enqueue("certworker.issue", domain="a.org")
        dependent = queue.enqueue("certworker.issue", domain="b.org", depends_on=parent)
        connection.delete(QUEUE_KEY)
        Dependents(connection).sweep()
        assert [] == connection.lrange(QUEUE_KEY, 0, -1)

        connection.hset(f"rq:job:{parent.id}", "status", "finished")
        Dependents(connection).sweep()
        Dependents(connection).sweep()

        assert [dependent.id.encode()] == connection.lrange(QUEUE_KEY, 0, -1)

    def test_a_dependent_of_an_expired_job_is_queued(self, connection: Redis, queue: Queue) -> None:
        """
        The sweep queues a dependent whose parent is no longer in Redis. Results expire after an hour.
        """
        parent = queue.enqueue("certworker.issue", domain="a.org")
        dependent = queue.enqueue("certworker.issue", domain="b.org", depends_on=parent)
        connection.delete(QUEUE_KEY, f"rq:job:{parent.id}")
        Dependents(connection).sweep()

        assert [dependent.id.encode()] == connection.lrange(QUEUE_KEY, 0, -1)

    def test_an_invalid_entry_of_the_registry_is_removed(self, connection: Redis) -> None:
        """
        The sweep removes entries of the registry that name no deferred job.
        """
        connection.hset("rq:job:over", "status", "finished")
        connection.zadd(DEFERRED_KEY, {"over": 1, "unknown": 2, "\xff": 3, "a b": 4})
        Dependents(connection).sweep()

        assert not connection.exists(DEFERRED_KEY)

    def test_a_worker_sweeps_as_it_renews_its_leases(self, connection: Redis, queue: Queue) -> None:
        """
        The worker sweeps with each renewal of its leases.
        """
        parent = queue.enqueue("certworker.issue", domain="a.org")
        dependent = queue.enqueue("certworker.issue", domain="b.org", depends_on=parent)
        connection.delete(QUEUE_KEY, f"rq:job:{parent.id}")
        with worker_thread(connection, lease_seconds=1):
            assert "finished" == end_of(connection, dependent.id)[0]
