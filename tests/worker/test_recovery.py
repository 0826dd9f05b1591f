"""
What dead workers leave behind, and that it is found.
"""

from __future__ import annotations

import time

import pytest
from redis import Redis

from certworker.worker.producer import QUEUE_KEY
from tests.worker.sample_tasks import end_of, eventually, push, worker_thread

LEASES = "rq:wip:certificates"
IN_BETWEEN = f"{QUEUE_KEY}:intermediate"


def leave_behind(connection: Redis, job_id: str, **fields: str) -> None:
    """
    Leave what a worker leaves that is killed during *job_id*: an expired lease and a started job.
    """
    push(connection, job_id, status="started", **fields)
    connection.delete(QUEUE_KEY)
    connection.zadd(LEASES, {f"{job_id}:execution": time.time() - 1})


class TestSweep:
    def test_an_abandoned_job_runs_again(self, connection: Redis, caplog: pytest.LogCaptureFixture) -> None:
        """
        The job may not be the cause of the crash, so it gets a second run.
        """
        leave_behind(connection, "job")

        with worker_thread(connection, lease_seconds=1):
            status, _ = end_of(connection, "job")

        assert ("finished", 0) == (status, connection.zcard(LEASES))
        assert "job job of a killed worker is on the queue again" in caplog.text

    def test_a_job_that_kills_workers_ends(self, connection: Redis) -> None:
        """
        A job that crashes its worker must not crash one worker after the other.
        """
        leave_behind(connection, "job", abandoned="1")

        with worker_thread(connection, lease_seconds=1):
            status, message = end_of(connection, "job")

        assert ("failed", True) == (status, message.startswith("[queue.abandoned] Workers died"))
        assert not connection.exists("sample:issued")
        assert 0 < connection.ttl("rq:job:job") <= 86_400

    @pytest.mark.parametrize("count", ["often", "nan", "inf", "1e300", "-5", "9" * 400])
    def test_a_count_that_is_none_counts_as_none(self, connection: Redis, count: str) -> None:
        """
        The job runs again, and the count becomes a number.
        """
        leave_behind(connection, "job", abandoned=count)

        with worker_thread(connection, lease_seconds=1):
            status, _ = end_of(connection, "job")

        assert ("finished", b"1") == (status, connection.hget("rq:job:job", "abandoned"))

    def test_many_workers_recover_a_job_once(self, connection: Redis) -> None:
        """
        All of them sweep; the job returns once.
        """
        leave_behind(connection, "job")

        with (
            worker_thread(connection, lease_seconds=1),
            worker_thread(connection, lease_seconds=1),
            worker_thread(connection, lease_seconds=1),
        ):
            end_of(connection, "job")
            time.sleep(1)

        assert 1 == connection.llen("sample:issued")

    def test_an_id_that_got_stuck_between_the_lists_goes_back(self, connection: Redis) -> None:
        """
        A worker can crash between taking an id and starting its job.
        """
        push(connection, "job", status="queued")
        connection.rename(QUEUE_KEY, IN_BETWEEN)

        with worker_thread(connection, lease_seconds=1):
            status, _ = end_of(connection, "job")

        assert ("finished", 0) == (status, connection.llen(IN_BETWEEN))

    @pytest.mark.parametrize("lease", [b"\xff\xfe:x", b"no colon", b"a.b:c", b"nowhere:execution", b""])
    def test_a_lease_without_a_job_is_dropped(self, connection: Redis, lease: bytes) -> None:
        """
        The worker removes an invalid lease, and runs the next job. RQ's own maintenance would raise.
        """
        connection.zadd(LEASES, {lease: 1})

        with worker_thread(connection, lease_seconds=1):
            assert eventually(lambda: not connection.exists(LEASES))
            end_of(connection, push(connection, "job"))

    @pytest.mark.parametrize("raw_id", [b"\xff\xfe", b"a.b", b""])
    def test_garbage_between_the_lists_is_dropped(self, connection: Redis, raw_id: bytes) -> None:
        """
        A worker that crashed while it read an invalid id has left it there.
        """
        connection.rpush(IN_BETWEEN, raw_id)

        with worker_thread(connection, lease_seconds=1):
            assert eventually(lambda: not connection.exists(IN_BETWEEN, QUEUE_KEY))

    def test_a_lease_that_outlived_its_job_means_nothing(self, connection: Redis) -> None:
        """
        The job has ended and its worker crashed before it recorded that: the job does not run again.
        """
        leave_behind(connection, "job")
        connection.hset("rq:job:job", "status", "finished")

        with worker_thread(connection, lease_seconds=1):
            assert eventually(lambda: not connection.exists(LEASES))

        assert not connection.exists("sample:issued")

    @pytest.mark.parametrize("key", [LEASES, IN_BETWEEN, "rq:workers", "rq:workers:certificates"])
    def test_members_beyond_all_bounds_do_not_end_the_sweep(
        self, connection: Redis, caplog: pytest.LogCaptureFixture, key: str
    ) -> None:
        """
        With a hundred megabytes in one key the abandoned job is recovered, and one line names the key.
        """
        leave_behind(connection, "job")
        for number in range(100):
            member = f"{number}{'x' * 1_000_000}"
            if key == LEASES:
                connection.zadd(key, {member: 1})
            elif key == IN_BETWEEN:
                connection.rpush(key, member)
            else:
                connection.sadd(key, member)

        with worker_thread(connection, lease_seconds=1):
            status, _ = end_of(connection, "job")
            assert eventually(lambda: (connection.memory_usage(key) or 0) < 1_000_000)

        assert "finished" == status
        lines = [line.getMessage() for line in caplog.records]
        removed = sum(line.startswith("removed entries") and line.endswith(f" {key}") for line in lines)
        # The sweep may be first to remove the members of a registry of workers: none of them runs.
        assert removed in ((1,) if key in (LEASES, IN_BETWEEN) else (0, 1))

    def test_dead_workers_are_forgotten(self, connection: Redis) -> None:
        """
        `rq info` lists the running workers; an invalid name would end it.
        """
        for registry in ("rq:workers", "rq:workers:certificates"):
            connection.sadd(registry, b"\xff\xfe", "rq:worker:dead")

        with worker_thread(connection, lease_seconds=1):
            assert eventually(lambda: connection.scard("rq:workers:certificates") == 1)
            assert eventually(lambda: connection.scard("rq:workers") == 1)
