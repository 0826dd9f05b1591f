"""
Tests of the recovery of jobs and entries that killed workers leave behind.
"""

from __future__ import annotations

import time

import pytest
from redis import Redis

from certworker.worker.job_class import AllowlistedJob
from certworker.worker.producer import QUEUE_KEY
from tests.worker.sample_tasks import end_of, eventually, push, worker_thread

LEASES = "rq:wip:certificates"
INTERMEDIATE = f"{QUEUE_KEY}:intermediate"


def leave_behind(connection: Redis, job_id: str, **fields: str) -> None:
    """
    Write the state of a worker that was killed during *job_id*: an expired lease and a started job.
    """
    push(connection, job_id, status="started", **fields)
    connection.delete(QUEUE_KEY)
    connection.zadd(LEASES, {f"{job_id}:execution": time.time() - 1})


class TestSweep:
    def test_an_abandoned_job_runs_again(self, connection: Redis, caplog: pytest.LogCaptureFixture) -> None:
        """
        The job of a killed worker runs again, as the job may not be the cause of the crash.
        """
        leave_behind(connection, "job")

        with worker_thread(connection, lease_seconds=1):
            status, _ = end_of(connection, "job")

        assert ("finished", 0) == (status, connection.zcard(LEASES))
        assert b"job:execution" == connection.hget("rq:job:job", "abandoned_run")
        assert "put job job back on the queue, because its lease has expired" in caplog.text

    @pytest.mark.parametrize(
        ("written", "expected"),
        [("job:execution", "job:execution"), ("other:execution", ""), ("x" * 10**6, "")],
    )
    def test_a_job_takes_over_only_the_locks_of_its_own_runs(
        self, connection: Redis, written: str, expected: str
    ) -> None:
        """
        A producer cannot make a job take over the locks of another one.
        """
        push(connection, "job", abandoned_run=written)

        assert expected == AllowlistedJob.find(b"job", connection).abandoned_run

    def test_a_job_that_kills_workers_ends(self, connection: Redis) -> None:
        """
        A job that was abandoned twice fails, so it cannot crash one worker after another. A frozen worker
        counts as well.
        """
        leave_behind(connection, "job", abandoned="1")

        with worker_thread(connection, lease_seconds=1):
            status, message = end_of(connection, "job")

        assert "failed" == status
        assert message.startswith("[queue.abandoned] Workers died or froze 2 times")
        assert not connection.exists("sample:issued")
        assert 0 < connection.ttl("rq:job:job") <= 86_400

    @pytest.mark.parametrize("count", ["often", "nan", "inf", "1e300", "-5", "9" * 400])
    def test_an_invalid_count_counts_as_zero(self, connection: Redis, count: str) -> None:
        """
        An invalid count of abandoned runs counts as zero. The job runs again, and the count becomes a
        number.
        """
        leave_behind(connection, "job", abandoned=count)

        with worker_thread(connection, lease_seconds=1):
            status, _ = end_of(connection, "job")

        assert ("finished", b"1") == (status, connection.hget("rq:job:job", "abandoned"))

    def test_many_workers_recover_a_job_once(self, connection: Redis) -> None:
        """
        Several workers return an abandoned job to the queue only once.
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

    def test_an_id_in_the_intermediate_list_returns_to_the_queue(self, connection: Redis) -> None:
        """
        An id in the intermediate list returns to the queue if its worker crashes before the job starts.
        """
        push(connection, "job", status="queued")
        connection.rename(QUEUE_KEY, INTERMEDIATE)

        with worker_thread(connection, lease_seconds=1):
            status, _ = end_of(connection, "job")

        assert ("finished", 0) == (status, connection.llen(INTERMEDIATE))

    @pytest.mark.parametrize("lease", [b"\xff\xfe:x", b"no colon", b"a.b:c", b"nowhere:execution", b""])
    def test_a_lease_without_a_job_is_removed(self, connection: Redis, lease: bytes) -> None:
        """
        The worker removes an invalid lease, and runs the next job. RQ's own maintenance would fail.
        """
        connection.zadd(LEASES, {lease: 1})

        with worker_thread(connection, lease_seconds=1):
            assert eventually(lambda: not connection.exists(LEASES))
            end_of(connection, push(connection, "job"))

    @pytest.mark.parametrize("raw_id", [b"\xff\xfe", b"a.b", b""])
    def test_an_invalid_id_in_the_intermediate_list_is_removed(
        self, connection: Redis, raw_id: bytes
    ) -> None:
        """
        The worker removes an invalid id, which a crashed worker has left in the intermediate list.
        """
        connection.rpush(INTERMEDIATE, raw_id)

        with worker_thread(connection, lease_seconds=1):
            assert eventually(lambda: not connection.exists(INTERMEDIATE, QUEUE_KEY))

    def test_the_lease_of_a_finished_job_is_removed(self, connection: Redis) -> None:
        """
        A finished job does not run again if its worker crashed before it removed the lease.
        """
        leave_behind(connection, "job")
        connection.hset("rq:job:job", "status", "finished")

        with worker_thread(connection, lease_seconds=1):
            assert eventually(lambda: not connection.exists(LEASES))

        assert not connection.exists("sample:issued")

    @pytest.mark.parametrize("key", [LEASES, INTERMEDIATE, "rq:workers", "rq:workers:certificates"])
    def test_very_long_members_do_not_end_the_sweep(
        self, connection: Redis, caplog: pytest.LogCaptureFixture, key: str
    ) -> None:
        """
        The sweep removes a hundred megabytes of entries, logs the key once, and recovers the abandoned
        job.
        """
        leave_behind(connection, "job")
        for number in range(100):
            member = f"{number}{'x' * 1_000_000}"
            if key == LEASES:
                connection.zadd(key, {member: 1})
            elif key == INTERMEDIATE:
                connection.rpush(key, member)
            else:
                connection.sadd(key, member)

        with worker_thread(connection, lease_seconds=1):
            status, _ = end_of(connection, "job")
            assert eventually(lambda: (connection.memory_usage(key) or 0) < 1_000_000)

        assert "finished" == status
        lines = [line.getMessage() for line in caplog.records]
        removed = sum(line.startswith("removed entries") and f" from {key}: " in line for line in lines)
        # The sweep can be the first to remove the members of a registry, because no such worker runs.
        assert removed in ((1,) if key in (LEASES, INTERMEDIATE) else (0, 1))

    def test_ended_workers_are_removed_from_the_registries(self, connection: Redis) -> None:
        """
        The registries have only running workers. An invalid name would end `rq info`.
        """
        for registry in ("rq:workers", "rq:workers:certificates"):
            connection.sadd(registry, b"\xff\xfe", "rq:worker:dead")

        with worker_thread(connection, lease_seconds=1):
            assert eventually(lambda: connection.scard("rq:workers:certificates") == 1)
            assert eventually(lambda: connection.scard("rq:workers") == 1)

    def test_the_keys_of_other_programs_are_not_read(self, connection: Redis) -> None:
        """
        The user of the guide has no permission for the key of a forged member, which ends no sweep.
        """
        connection.set("of:others", "")
        connection.sadd("rq:workers", "of:others", "rq:worker:dead")
        connection.execute_command("ACL", "SETUSER", "default", "resetkeys", "~certworker:*", "~rq:*")
        try:
            with worker_thread(connection, lease_seconds=1):
                assert eventually(lambda: connection.scard("rq:workers") == 1)
        finally:
            connection.execute_command("ACL", "SETUSER", "default", "allkeys")

    @pytest.mark.parametrize("registry", ["rq:workers", "rq:workers:certificates"])
    def test_a_running_worker_returns_to_the_registries(self, connection: Redis, registry: str) -> None:
        """
        The sweep of another worker may remove a worker that was frozen after it has registered again.
        """
        with worker_thread(connection, lease_seconds=1):
            (worker,) = connection.smembers(registry)
            connection.srem(registry, worker)

            assert eventually(lambda: connection.smembers(registry) == {worker})
