"""
Tests of the state of the queue.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from rq import Worker
from rq.suspension import WORKERS_SUSPENDED, resume, suspend

from certworker.renewal.agenda import Agenda
from certworker.state.wake_ups import SCHEDULED_KEY
from certworker.worker.health import REPORTS
from certworker.worker.producer import (
    QUEUE_KEY,
    queue_length,
    request_certificate,
    request_removal,
)
from certworker.worker.queue_stats import (
    BATCH,
    MAX_UNSERVED,
    REMINDER_SECONDS,
    SUSPENDED,
    Queued,
    Suspension,
    are_suspended,
    head_age,
    is_suspended,
    job_position,
    queue_stats,
    queued_name,
    running_workers,
    scheduler_lag,
)
from tests.worker.sample_tasks import end_of, eventually, push, worker_thread


def run_worker(connection: Any, name: str, *, healthy: bool = True) -> None:
    """
    Register a worker as RQ does, with a health report.
    """
    connection.sadd("rq:workers:certificates", f"rq:worker:{name}")
    connection.hset(f"rq:worker:{name}", "birth", "1")
    if healthy:
        report = {"host": name, "healthy": True, "scheduler": True, "stalled": []}
        connection.sadd(REPORTS, name)
        connection.set(f"{REPORTS}:{name}", json.dumps(report))


class TestQueuedName:
    def test_a_name_is_found_in_the_requests_of_any_program(self, connection: Redis) -> None:
        """
        The first request for a name counts, regardless of its id, its spelling and its other names.
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

    def test_invalid_jobs_hide_no_request(self, connection: Any) -> None:
        """
        Invalid jobs count as positions, and do not hide the names behind them.
        """
        connection.rpush(QUEUE_KEY, "lost", "large", "list", "odd", "args", b"\xff")
        connection.hset("rq:job:large", "data", "x" * 100_000)
        connection.rpush("rq:job:list", "x")
        connection.hset("rq:job:odd", "data", json.dumps(["certworker.issue", None, [], {"domains": 7}]))
        connection.hset("rq:job:args", "data", json.dumps(["certworker.issue", None, ["z.org"], {}]))
        request_certificate("a.org", connection=connection)

        assert 7 == queued_name(connection, "a.org").position
        assert 5 == queued_name(connection, "z.org").position

    def test_a_long_queue_is_read_in_batches(self, connection: Redis) -> None:
        """
        The last of many requests is found.
        """
        for number in range(BATCH + 1):
            request_certificate(f"shop{number}.org", connection=connection)

        assert BATCH + 1 == queued_name(connection, f"shop{BATCH}.org").position


class TestJobPosition:
    def test_a_job_has_a_position_until_a_worker_takes_it(self, connection: Redis) -> None:
        """
        Only a job on the queue has a position. The next job has position 1.
        """
        first = request_certificate("a.org", connection=connection)
        second = request_certificate("b.org", connection=connection)
        assert (1, 2) == (job_position(connection, first), job_position(connection, second))
        connection.lpop(QUEUE_KEY)

        assert (None, 1) == (job_position(connection, first), job_position(connection, second))

    def test_without_the_rights_the_values_are_unknown(self, connection: Any) -> None:
        """
        The values are unknown to a Redis user without the rights to read workers and queue.
        """
        job_id = request_certificate("a.org", connection=connection)
        connection.execute_command("ACL", "SETUSER", "few", "on", "nopass", "~*", "+@connection")
        options = connection.connection_pool.connection_kwargs
        with Redis(host=options["host"], port=options["port"], username="few", password="x") as few:
            assert job_position(few, job_id) is None
            assert Queued(None, None) == queued_name(few, "a.org")
            assert running_workers(few) is None
            assert not are_suspended(few)
        connection.acl_deluser("few")


class TestAreSuspended:
    def test_a_suspension_is_the_key_of_rq(self, connection: Redis) -> None:
        """
        The constant equals the key of RQ, so readers of the state need not import RQ.
        """
        assert WORKERS_SUSPENDED == SUSPENDED
        assert not are_suspended(connection)
        suspend(connection)

        assert are_suspended(connection)


class TestRunningWorkers:
    def test_a_running_worker_is_registered_and_reports(self, connection: Redis) -> None:
        """
        Only registered workers with a health report count. A killed worker has no report.
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


class TestQueueStats:
    def test_an_empty_redis_has_zeros(self, connection: Redis) -> None:
        """
        An empty Redis has no jobs and no workers.
        """
        found = queue_stats(connection)

        assert (0, 0, False, (), None) == (
            found.waiting,
            found.workers,
            found.scheduler,
            found.unserved,
            found.evicts,
        )

    def test_jobs_and_workers_are_counted(self, connection: Redis) -> None:
        """
        Waiting jobs and running workers are counted. An expired worker does not count.
        """
        request_certificate("shop.example.org", connection=connection)
        connection.sadd("rq:workers:certificates", "rq:worker:alive", "rq:worker:dead")
        connection.hset("rq:worker:alive", "birth", "1")
        connection.set("rq:scheduler-lock:certificates", "alive")
        found = queue_stats(connection)

        assert (1, 1, True) == (found.waiting, found.workers, found.scheduler)

    def test_a_queue_without_a_worker_is_reported(self, connection: Redis) -> None:
        """
        A queue with jobs and without a worker is reported. A producer may have misspelled its name.
        """
        connection.sadd("rq:queues", "rq:queue:certificates", "rq:queue:v1-certificates", "rq:queue:mails")
        connection.rpush("rq:queue:v1-certificates", "a", "b")
        connection.rpush("rq:queue:mails", "c")
        connection.sadd("rq:workers:mails", "rq:worker:postman")
        connection.hset("rq:worker:postman", "birth", "1")

        (unserved,) = queue_stats(connection).unserved
        assert "The queue v1-certificates has 2 waiting jobs and no worker" in unserved.message

    def test_invalid_keys_hide_no_queue(self, connection: Redis) -> None:
        """
        Queues with invalid or long names, or with keys of another type, are skipped.
        """
        members: list[bytes | str] = [
            b"\xff\xfe",
            "",
            "x" * 1_000_000,
            "rq:queue:\x1b[2J",
            "rq:queue:string",
            "rq:queue:lost",
        ]
        connection.sadd("rq:queues", *members)
        connection.set("rq:queue:string", "x")
        connection.set("rq:workers:lost", "x")
        connection.sadd("rq:workers:certificates", b"\xff", "x" * 1_000_000)
        for key in ("rq:queue:\x1b[2J", "rq:queue:lost"):
            connection.rpush(key, "a")

        found = queue_stats(connection)

        assert ["lost"] == [each.message.split()[2] for each in found.unserved]
        assert 0 == found.workers

    def test_the_number_of_reported_queues_is_limited(self, connection: Redis) -> None:
        """
        The number of reported queues has a limit, so the command ends soon.
        """
        with connection.pipeline(transaction=False) as pipe:
            for number in range(2_000):
                pipe.sadd("rq:queues", f"rq:queue:{number}")
                pipe.rpush(f"rq:queue:{number}", "a")
            pipe.execute()

        assert MAX_UNSERVED == len(queue_stats(connection).unserved)

    def test_queues_with_a_worker_hide_no_queue(self, connection: Redis) -> None:
        """
        Only queues without a worker count against the limit, so an unserved queue after many others is found.
        """
        connection.hset("rq:worker:other", "birth", "1")
        with connection.pipeline(transaction=False) as pipe:
            for number in range(MAX_UNSERVED):
                pipe.sadd("rq:queues", f"rq:queue:a{number}")
                pipe.rpush(f"rq:queue:a{number}", "a")
                pipe.sadd(f"rq:workers:a{number}", "rq:worker:other")
            pipe.sadd("rq:queues", "rq:queue:z")
            pipe.rpush("rq:queue:z", "a")
            pipe.execute()

        assert ["z"] == [each.message.split()[2] for each in queue_stats(connection).unserved]

    def test_an_evicting_redis_is_reported(self, connection: Redis) -> None:
        """
        A Redis that can evict jobs is reported with its policy.
        """
        connection.config_set("maxmemory", "1gb")
        connection.config_set("maxmemory-policy", "allkeys-lru")
        try:
            evicts = queue_stats(connection).evicts
            assert evicts
            assert "allkeys-lru" in evicts.message
            connection.config_set("maxmemory", "0")
            assert queue_stats(connection).evicts is None
        finally:
            connection.config_set("maxmemory-policy", "noeviction")
            connection.config_set("maxmemory", "0")

    def test_without_config_the_eviction_is_unknown(self, connection: Redis) -> None:
        """
        The eviction policy is unknown if the user lacks CONFIG, which many providers forbid.
        """
        connection.acl_setuser(
            "guest", enabled=True, nopass=True, keys=["*"], categories=["+@all"], commands=["-config"]
        )
        options = connection.connection_pool.connection_kwargs
        with Redis(host=options["host"], port=options["port"], username="guest", password="any") as guest:
            assert queue_stats(guest).evicts is None
        connection.acl_deluser("guest")


def state_of_the_worker(connection: Redis) -> str:
    """
    Return the state of the only worker, as `rq info` shows it.
    """
    (worker,) = Worker.all(connection)
    return str(worker.get_state())


def checks_for_suspension(connection: Redis) -> int:
    """
    Return an upper bound of how often the worker checked for a suspension.
    """
    return int(connection.info("commandstats")["cmdstat_exists"]["calls"])


class TestSuspendedWorker:
    def test_no_job_starts_until_the_worker_resumes(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        No job starts during a suspension. The log has one line at its start and one at its end.
        """
        with caplog.at_level(logging.INFO, "certworker"), worker_thread(connection):
            suspend(connection)
            assert eventually(lambda: state_of_the_worker(connection) == "suspended")
            job_id = request_certificate("a.org", connection=connection)
            before = checks_for_suspension(connection)
            assert eventually(lambda: checks_for_suspension(connection) > before + 8)

            assert 1 == queue_length(connection)
            resume(connection)
            assert "finished" == end_of(connection, job_id)[0]
            assert eventually(lambda: state_of_the_worker(connection) == "idle")

        logged = [line.getMessage() for line in caplog.records if "queue_stats" in line.name]
        assert ["suspended by `rq suspend`", "resumed: new jobs start"] == [
            line.partition(":")[0] if "rq suspend" in line else line for line in logged
        ]
        assert logged[0].endswith("rq resume --url redis://HOST:PORT")

    def test_a_job_taken_during_the_suspension_returns_to_the_queue(self, connection: Redis) -> None:
        """
        A job that a suspended worker takes returns to the queue, and runs after the suspension.
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

    def test_a_worker_that_starts_during_a_suspension_waits(self, connection: Redis) -> None:
        """
        A worker that starts during a suspension starts no job until its end.
        """
        suspend(connection)
        job_id = request_certificate("a.org", connection=connection)
        with worker_thread(connection):
            assert eventually(lambda: state_of_the_worker(connection) == "suspended")
            assert 1 == queue_length(connection)
            resume(connection)
            assert "finished" == end_of(connection, job_id)[0]


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class TestDelays:
    def test_the_age_of_the_head_is_that_of_the_next_job(self, connection: Redis) -> None:
        """
        The first job of the queue counts, not the last one.
        """
        assert 0 == head_age(connection, NOW)
        for seconds in (90, 30):
            push(connection, f"x{seconds}")
            moment = NOW - timedelta(seconds=seconds)
            connection.hset(f"rq:job:x{seconds}", "enqueued_at", f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}")

        assert 90 == head_age(connection, NOW)

    @pytest.mark.parametrize("moment", ["", "x" * 1_000, "yesterday", "2026-11-23T13:00:00Z", "2026-11-23"])
    def test_an_invalid_time_counts_as_no_age(self, connection: Redis, moment: str) -> None:
        """
        A time of another program may be missing, invalid, or in the future.
        """
        connection.rpush(QUEUE_KEY, "x")
        connection.hset("rq:job:x", "enqueued_at", moment)

        assert 0 == head_age(connection, NOW)

    @pytest.mark.parametrize("job_id", ["lost", b"\xff", "list"])
    def test_an_invalid_job_has_no_age(self, connection: Redis, job_id: str | bytes) -> None:
        """
        The head may not be a job at all.
        """
        connection.rpush("rq:job:list", "x")
        connection.rpush(QUEUE_KEY, job_id)

        assert 0 == head_age(connection, NOW)

    @pytest.mark.parametrize(
        ("job", "check", "lag"),
        [(-60, None, 60), (None, -90, 90), (-60, -90, 90), (60, 90, 0), (None, None, 0)],
    )
    def test_the_lag_is_that_of_the_earliest_job_or_check(
        self, connection: Redis, job: int | None, check: int | None, lag: int
    ) -> None:
        """
        The lag is how late the earliest delayed job or planned check is.
        """
        agenda = Agenda(connection)
        if job is not None:
            connection.zadd(SCHEDULED_KEY, {"x": NOW.timestamp() + job})
        if check is not None:
            agenda.put("a.org", NOW + timedelta(seconds=check))

        assert lag == scheduler_lag(connection, agenda, NOW)


class TestSuspension:
    def test_a_suspension_is_logged_at_its_start_and_each_hour(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log has a suspension at its start and then each hour, as certificates expire in the meantime.
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

    def test_a_suspension_can_expire(self, connection: Redis) -> None:
        """
        A suspension with a duration ends, as with `rq suspend --duration`.
        """
        suspend(connection, ttl=1)

        assert eventually(lambda: not is_suspended(connection))
