"""
Requests that no worker has taken yet.
"""

from __future__ import annotations

import json
from typing import Any

from redis import Redis
from rq.suspension import WORKERS_SUSPENDED, suspend

from certworker.worker.health import REPORTS
from certworker.worker.producer import QUEUE_KEY, request_certificate, request_removal
from certworker.worker.queued import (
    PORTION,
    SUSPENDED,
    are_suspended,
    job_position,
    queued_name,
    running_workers,
)


def run_worker(connection: Any, name: str, *, healthy: bool = True) -> None:
    """
    Register a worker as RQ does, with its report of health.
    """
    connection.sadd("rq:workers:certificates", f"rq:worker:{name}")
    connection.hset(f"rq:worker:{name}", "birth", "1")
    if healthy:
        report = {"host": name, "healthy": True, "scheduler": True, "stalled": []}
        connection.sadd(REPORTS, name)
        connection.set(f"{REPORTS}:{name}", json.dumps(report))


class TestQueuedName:
    def test_a_name_is_found_whichever_program_requests_it(self, connection: Redis) -> None:
        """
        Ids, spellings and several names for one certificate differ; the first request counts.
        """
        request_removal("c.org", connection=connection)
        request_certificate("a.org", connection=connection)
        call: list[Any] = ["certworker.issue", None, [], {"domains": ["b.org", "C.org."], "force": True}]
        connection.hset("rq:job:own-id", "data", json.dumps(call))
        connection.rpush(QUEUE_KEY, "own-id")
        request_certificate("c.org", connection=connection)

        assert [2, 3, 3, None] == [
            queued_name(connection, name).position for name in ("a.org", "b.org", "c.org", "d.org")
        ]

    def test_what_is_no_request_hides_no_other(self, connection: Any) -> None:
        """
        Lost hashes, large data, keys of another type and odd calls each have a position, and no name.
        """
        connection.rpush(QUEUE_KEY, "lost", "large", "list", "odd", "args", b"\xff")
        connection.hset("rq:job:large", "data", "x" * 100_000)
        connection.rpush("rq:job:list", "x")
        connection.hset("rq:job:odd", "data", json.dumps(["certworker.issue", None, [], {"domains": 7}]))
        connection.hset("rq:job:args", "data", json.dumps(["certworker.issue", None, ["z.org"], {}]))
        request_certificate("a.org", connection=connection)

        assert 7 == queued_name(connection, "a.org").position
        assert 5 == queued_name(connection, "z.org").position

    def test_a_long_queue_is_read_in_portions(self, connection: Redis) -> None:
        """
        The last of many requests is found, too.
        """
        for number in range(PORTION + 1):
            request_certificate(f"shop{number}.org", connection=connection)

        assert PORTION + 1 == queued_name(connection, f"shop{PORTION}.org").position


class TestJobPosition:
    def test_a_job_has_a_position_until_a_worker_takes_it(self, connection: Redis) -> None:
        """
        The next one is the first.
        """
        first = request_certificate("a.org", connection=connection)
        second = request_certificate("b.org", connection=connection)
        assert (1, 2) == (job_position(connection, first), job_position(connection, second))
        connection.lpop(QUEUE_KEY)

        assert (None, 1) == (job_position(connection, first), job_position(connection, second))

    def test_a_user_without_the_rights_gets_no_answer_and_no_failure(self, connection: Any) -> None:
        """
        A producer of its own may neither see the workers nor the queue.
        """
        job_id = request_certificate("a.org", connection=connection)
        connection.execute_command("ACL", "SETUSER", "few", "on", "nopass", "~*", "+@connection")
        options = connection.connection_pool.connection_kwargs
        with Redis(host=options["host"], port=options["port"], username="few", password="x") as few:
            assert job_position(few, job_id) is None
            assert running_workers(few) is None
            assert not are_suspended(few)
        connection.acl_deluser("few")


class TestAreSuspended:
    def test_it_is_the_key_of_rq(self, connection: Redis) -> None:
        """
        This module imports no RQ, and still means the same key.
        """
        assert WORKERS_SUSPENDED == SUSPENDED
        assert not are_suspended(connection)
        suspend(connection)

        assert are_suspended(connection)


class TestRunningWorkers:
    def test_a_worker_runs_that_is_registered_and_reports(self, connection: Redis) -> None:
        """
        One that stopped is not registered, and one that was killed reports nothing.
        """
        assert 0 == running_workers(connection)
        run_worker(connection, "killed", healthy=False)
        assert 0 == running_workers(connection)
        run_worker(connection, "first")
        assert 1 == running_workers(connection)
        run_worker(connection, "second")
        assert 2 == running_workers(connection)
        connection.delete("rq:worker:first", "rq:worker:killed")

        assert 1 == running_workers(connection)
