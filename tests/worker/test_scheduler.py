"""
Tests of the thread of the scheduler: it enqueues delayed jobs on time, and survives invalid data.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from redis import Redis
from rq import Queue
from rq.scheduler import RQScheduler

from certworker.state.wake_ups import SCHEDULED_KEY
from certworker.worker.producer import QUEUE_KEY, queue_length, wake_at
from certworker.worker.scheduler import LONGEST_LOCK, Scheduler
from tests.servers.redis import RedisServer
from tests.worker.sample_tasks import eventually, worker_thread

LOCK = "rq:scheduler-lock:certificates"


@contextmanager
def scheduling(connection: Redis) -> Iterator[Scheduler]:
    """
    Run a scheduler during the block.
    """
    scheduler = Scheduler(connection)
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.stop()


class TestScheduler:
    def test_a_wake_up_runs_on_time(self, connection: Redis) -> None:
        """
        A wake-up of the agenda runs at most 2.5 seconds late.
        """
        due = datetime.now(UTC) + timedelta(seconds=1)
        with worker_thread(connection), scheduling(connection):
            wake_at(connection, due)
            assert eventually(lambda: connection.llen("sample:looked") == 1)

        late = float(connection.lrange("sample:looked", 0, 0)[0]) - due.timestamp()
        assert 0 <= late < 2.5

    def test_a_job_delayed_with_rq_runs(self, connection: Redis) -> None:
        """
        A job that another program delays with RQ's `enqueue_at` runs.
        """
        queue = Queue("certificates", connection=connection, serializer="json")
        queue.enqueue_at(datetime.now(UTC) + timedelta(seconds=1), "certworker.issue", domain="a.org")

        with worker_thread(connection), scheduling(connection):
            assert eventually(lambda: connection.lrange("sample:issued", 0, -1) == [b'["a.org", false]'])

    def test_an_invalid_job_is_removed_and_logged(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Invalid delayed jobs are removed and logged. Each of them would end RQ's own scheduler.
        """
        connection.hset("rq:job:bogus", mapping={"status": "bogus", "data": "x"})
        connection.hset("rq:job:binary", mapping={"status": b"\xff", "data": "x"})
        connection.set("rq:job:string", "not a hash")
        poison = [b"\xff\xfe", b"example.com", b"a:b", b"", b"nowhere", b"bogus", b"binary", b"string"]
        connection.zadd(SCHEDULED_KEY, dict.fromkeys(poison, 1))
        wake_at(connection, datetime.now(UTC) + timedelta(seconds=0.5))

        with scheduling(connection):
            assert eventually(lambda: queue_length(connection) == 1)

        assert 0 == connection.zcard(SCHEDULED_KEY)
        assert len(poison) == caplog.text.count("[queue.bad_payload]")

    def test_many_due_jobs_are_enqueued_in_order(self, connection: Redis) -> None:
        """
        Thousands of due jobs are enqueued in their order, for example after a night without a worker.
        """
        for number in range(2_500):
            connection.hset(f"rq:job:issue-{number}", "status", "scheduled")
        connection.zadd(SCHEDULED_KEY, {f"issue-{number}": number for number in range(2_500)})

        with scheduling(connection):
            assert eventually(lambda: queue_length(connection) == 2_500)

        assert [b"issue-0", b"issue-1"] == connection.lrange(QUEUE_KEY, 0, 1)
        assert b"queued" == connection.hget("rq:job:issue-7", "status")

    def test_one_of_two_schedulers_enqueues_a_job(self, connection: Redis) -> None:
        """
        With several workers, each delayed job is enqueued once.
        """
        with scheduling(connection), scheduling(connection) as second:
            assert eventually(lambda: connection.exists(LOCK))
            wake_at(connection, datetime.now(UTC) + timedelta(seconds=0.5))
            assert eventually(lambda: queue_length(connection))
            assert second.alive()

        assert 1 == queue_length(connection)

    def test_another_scheduler_takes_an_expired_lock(self, connection: Redis) -> None:
        """
        After the lock of a killed worker expires, another scheduler takes it and enqueues the job.
        """
        connection.set(LOCK, "a killed worker", px=1_500)
        wake_at(connection, datetime.now(UTC) + timedelta(seconds=0.1))

        with scheduling(connection):
            assert eventually(lambda: queue_length(connection) == 1)
            assert b"a killed worker" != connection.get(LOCK)

    def test_the_lock_is_not_renewed_in_each_pass(self, connection: Redis) -> None:
        """
        A heartbeat is sent every ten seconds only, because it costs twice as much as the rest of a pass.
        """
        scheduler = Scheduler(connection)
        scheduler._pass()
        connection.expire(LOCK, 1_000)
        scheduler._pass()

        assert connection.ttl(LOCK) > 900

    @pytest.mark.parametrize("seconds", [None, 10**9])
    def test_a_lock_without_expiry_expires(self, connection: Redis, seconds: int | None) -> None:
        """
        A scheduler limits the expiry of any lock, so a planted lock does not prevent renewals.
        """
        connection.set(LOCK, "planted", ex=seconds)

        with scheduling(connection):
            assert eventually(lambda: 0 < connection.ttl(LOCK) <= LONGEST_LOCK.total_seconds())

    def test_a_stopped_scheduler_releases_its_lock(self, connection: Redis) -> None:
        """
        A stopped scheduler releases its lock, so a restart need not wait for the expiry.
        """
        with scheduling(connection):
            assert eventually(lambda: connection.exists(LOCK))

        assert not connection.exists(LOCK)

    def test_a_scheduler_is_alive_until_it_is_stopped(self, connection: Redis) -> None:
        """
        A scheduler is alive between its start and its stop, which the health check reads.
        """
        scheduler = Scheduler(connection)
        before = scheduler.alive()
        scheduler.start()
        during = scheduler.alive()
        scheduler.stop()

        assert (False, True, False) == (before, during, scheduler.alive())

    def test_a_registry_of_another_type_is_removed(
        self, connection: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The scheduler removes a registry of another type, logs its name, and enqueues later jobs.
        """
        connection.set(SCHEDULED_KEY, "planted")
        with scheduling(connection):
            assert eventually(lambda: not connection.exists(SCHEDULED_KEY))
            wake_at(connection, datetime.now(UTC) + timedelta(seconds=0.1))
            assert eventually(lambda: queue_length(connection) == 1)

        assert 1 == caplog.text.count(f"{SCHEDULED_KEY} was a string, not a zset")

    def test_a_scheduler_survives_a_restart_of_redis(self, tmp_path: Path) -> None:
        """
        After a restart of Redis without its data, the scheduler takes its lock again and enqueues jobs.
        """
        server = RedisServer(tmp_path)
        server.start()
        with server.client() as connection, scheduling(connection) as scheduler:
            assert eventually(lambda: connection.exists(LOCK))
            server.kill()
            time.sleep(1)
            server.start()
            wake_at(connection, datetime.now(UTC) + timedelta(seconds=0.5))

            assert eventually(lambda: queue_length(connection) == 1)
            assert scheduler.alive()
        server.kill()

    def test_the_tools_of_rq_find_the_scheduler(self, connection: Redis) -> None:
        """
        The tools of RQ find the scheduler by the name in its lock.
        """
        with scheduling(connection):
            assert eventually(lambda: connection.exists(LOCK))
            name = cast("bytes", connection.get(LOCK)).decode()

            assert name == RQScheduler.fetch(name, connection=connection).name
