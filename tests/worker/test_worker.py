"""
Tests of the worker during failures of Redis, of other workers and of operators.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from certworker.errors.worker import SchemaTooNew
from certworker.state.schema import KEY, SCHEMA
from certworker.supervision import Heartbeats
from certworker.worker.producer import QUEUE_KEY, queue_length, request_certificate
from certworker.worker.worker import run, stop_on_signals
from tests.servers.redis import RedisServer
from tests.servers.worker import wait_until
from tests.worker.sample_tasks import (
    TIMEOUT_SECONDS,
    end_of,
    eventually,
    push,
    sample_functions,
    worker_process,
    worker_thread,
)

LEASES = "rq:wip:certificates"

PIN = """
import os, random, threading
from certworker.worker.worker import pin_to_one_cpu

pin_to_one_cpu(random.Random({seed}))
thread = threading.Thread(target=lambda: print(*os.sched_getaffinity(0)))
thread.start()
thread.join()
"""

WAITS_TWICE = """
import threading
from certworker.worker.worker import stop_on_signals
with stop_on_signals() as stop:
    print("waiting", flush=True)
    stop.wait()
    print("stopping", flush=True)
    threading.Event().wait()
"""


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """
    Start a Redis that the test can kill.
    """
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


class TestRun:
    def test_identical_requests_of_certworker_are_one_job(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        Identical requests of certworker's producer are one job. Requests with other ids are separate
        jobs, and all of them finish.
        """

        def produce(producer: int) -> None:
            with redis_server.client() as own:
                for number in range(250):
                    if producer % 2:
                        request_certificate("a.org", connection=own)
                    else:
                        push(own, f"own-{producer}-{number}", status="queued")

        with ThreadPoolExecutor(4) as producers:
            list(producers.map(produce, range(4)))
        assert 501 == queue_length(connection)

        with worker_thread(connection, slots=16):
            assert eventually(lambda: connection.llen("sample:issued") == 501)

    def test_a_worker_survives_the_loss_of_all_keys(self, connection: Redis) -> None:
        """
        After FLUSHALL the worker registers again and runs the next job.
        """
        with worker_thread(connection, lease_seconds=1):
            connection.flushall()
            status, _ = end_of(connection, request_certificate("a.org", connection=connection))
            assert eventually(lambda: connection.scard("rq:workers:certificates") == 1)

        assert "finished" == status

    @pytest.mark.parametrize(
        "key",
        [
            QUEUE_KEY,
            f"{QUEUE_KEY}:intermediate",
            "rq:wip:certificates",
            "rq:finished:certificates",
            "rq:failed:certificates",
            "rq:workers",
            "rq:workers:certificates",
            "rq:queues",
            "certworker:lane:new",
            "certworker:lane:expiring",
        ],
    )
    def test_a_key_of_another_type_is_removed(
        self, connection: Redis, caplog: pytest.LogCaptureFixture, key: str
    ) -> None:
        """
        The worker removes a key of another type, logs its name, and runs the job.
        """
        with worker_thread(connection, lease_seconds=1):
            connection.delete(key)
            connection.xadd(key, {"planted": "1"})
            request_certificate("a.org", connection=connection)
            push(connection, "job", "sample.fail")

            assert "failed" == end_of(connection, "job")[0]
            assert eventually(lambda: connection.type(key) != b"stream")

        assert 1 <= caplog.text.count(f"removed a key of the wrong type from Redis: {key} was a stream")

    def test_rq_info_shows_queue_and_worker(self, redis_server: RedisServer, connection: Redis) -> None:
        """
        `rq info` shows the queue, the worker and its running job.
        """
        push(connection, "job", "sample.sleep", 3)
        with worker_thread(connection, slots=1):
            assert eventually(lambda: connection.llen("sample:began"))
            request_certificate("a.org", connection=connection)
            message = subprocess.run(
                [sys.executable, "-m", "rq.cli", "info", "-u", redis_server.url],
                capture_output=True,
                text=True,
                check=True,
            ).stdout

        assert "certificates" in message
        assert "1 workers, 1 queues" in message
        assert "1, 1 executing" in message


class TestAccidents:
    def test_the_job_of_a_killed_worker_runs_on_another(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        Another worker runs the job of a killed worker after its lease.
        """
        with worker_process(redis_server) as first:
            push(connection, "job", "sample.sleep", 2)
            assert eventually(lambda: connection.llen("sample:began") == 1)
            first.kill()
            with worker_process(redis_server):
                end = end_of(connection, "job")

        assert ("finished", "slept") == end
        assert 2 == connection.llen("sample:began")

    def test_sigterm_finishes_running_jobs_and_starts_no_others(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        After SIGTERM, the worker finishes its running jobs, and leaves the others on the queue.
        """
        with worker_process(redis_server, slots=2) as process:
            for number in range(4):
                push(connection, f"job-{number}", "sample.sleep", 1)
            assert eventually(lambda: connection.llen("sample:began") == 2)
            process.send_signal(signal.SIGTERM)

            assert 0 == process.wait(TIMEOUT_SECONDS)

        assert (2, 2) == (connection.llen("sample:ended"), queue_length(connection))
        assert 0 == connection.scard("rq:workers")
        assert not connection.exists("rq:scheduler-lock:certificates")

    def test_a_job_that_exceeds_the_stop_deadline_returns_to_the_queue(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A job that exceeds the stop deadline returns to the queue, so a slow CA does not delay a
        shutdown.
        """
        with worker_process(redis_server, stop_deadline_seconds=0.5) as process:
            push(connection, "job", "sample.sleep", 60)
            assert eventually(lambda: connection.llen("sample:began") == 1)
            process.send_signal(signal.SIGTERM)

            assert 0 == process.wait(TIMEOUT_SECONDS)

        assert 0 == connection.llen("sample:ended")
        assert [b"job"] == connection.lrange(QUEUE_KEY, 0, -1)
        assert b"queued" == connection.hget("rq:job:job", "status")
        assert 0 == connection.zcard(LEASES)

    @pytest.mark.parametrize("ended", [False, True])
    def test_the_log_names_only_jobs_that_returned_to_the_queue(
        self, connection: Redis, caplog: pytest.LogCaptureFixture, ended: bool
    ) -> None:
        """
        At the stop deadline, the log names a job that returned to the queue, and not one that has just ended.
        """
        began, end = threading.Event(), threading.Event()

        def wait() -> None:
            began.set()
            end.wait(TIMEOUT_SECONDS)

        with worker_thread(connection, functions={"sample.wait": wait}, stop_deadline_seconds=0):
            push(connection, "job", "sample.wait")
            assert began.wait(TIMEOUT_SECONDS)
            if ended:
                connection.hset("rq:job:job", "status", "finished")
        end.set()

        assert ([] if ended else [b"job"]) == connection.lrange(QUEUE_KEY, 0, -1)
        assert ended != ("returned job job to the queue" in caplog.text)

    def test_a_second_signal_ends_the_worker_at_once(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        A second signal ends the worker before its job ends.
        """
        with worker_process(redis_server) as process:
            push(connection, "job", "sample.sleep", 60)
            assert eventually(lambda: connection.llen("sample:began") == 1)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)

            assert 128 + signal.SIGINT == process.wait(TIMEOUT_SECONDS)

    def test_sigterm_during_an_outage_of_redis(self, own_redis: RedisServer) -> None:
        """
        After SIGTERM, the worker ends with exit code 0 although Redis is unreachable.
        """
        with worker_process(own_redis) as process:
            assert process.stdout is not None
            own_redis.kill()
            while "redis.unreachable" not in process.stdout.readline():
                pass
            process.send_signal(signal.SIGTERM)

            assert 0 == process.wait(TIMEOUT_SECONDS)

    def test_a_worker_whose_end_cannot_be_recorded_promises_no_retry(
        self, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        If Redis fails while the worker waits for its last job, the log has the failure, and no retry.
        """
        caplog.set_level("INFO")
        began, end = threading.Event(), threading.Event()

        def wait() -> None:
            began.set()
            end.wait(TIMEOUT_SECONDS)

        def fail() -> None:
            eventually(lambda: "stopping; waiting for running jobs: 1" in caplog.text)
            own_redis.kill()
            end.set()

        failing = threading.Thread(target=fail)
        with own_redis.client() as connection:
            with worker_thread(connection, functions={"sample.wait": wait}):
                push(connection, "job", "sample.wait")
                assert began.wait(TIMEOUT_SECONDS)
                failing.start()
            failing.join()

        (line,) = (each for each in caplog.messages if "could not requeue unfinished jobs" in each)
        assert "[redis.unreachable]" in line
        assert "certworker retries" not in line

    def test_a_worker_survives_a_restart_of_redis(
        self, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log has one line for an outage of Redis and one for its end. Jobs run afterwards.
        """
        caplog.set_level("INFO")
        with own_redis.client() as connection, worker_thread(connection, lease_seconds=3):
            end_of(connection, request_certificate("a.org", connection=connection))
            own_redis.kill()
            assert eventually(lambda: "redis.unreachable" in caplog.text)
            time.sleep(1)
            own_redis.start()
            end_of(connection, request_certificate("b.org", connection=connection))
            assert eventually(lambda: "is available again" in caplog.text)

        assert 1 == caplog.text.count("redis.unreachable")

    def test_a_worker_can_start_before_redis(self, own_redis: RedisServer) -> None:
        """
        A worker that starts before Redis runs jobs as soon as Redis answers.
        """
        own_redis.kill()
        later = threading.Timer(1, own_redis.start)
        later.start()
        with own_redis.client() as connection, worker_thread(connection):
            later.join()
            assert ("finished", {"state": "issued", "names": ["a.org"]}) == end_of(
                connection, request_certificate("a.org", connection=connection)
            )

    def test_a_job_that_ends_during_an_outage_of_redis_runs_again(
        self, own_redis: RedisServer, tmp_path: Path
    ) -> None:
        """
        A job that ends during an outage runs again after the restart, because Redis still lists it as
        started.
        """
        own_redis.kill()
        own_redis.start("--appendonly", "yes", "--appendfsync", "always")
        with own_redis.client() as connection, worker_thread(connection, lease_seconds=2):
            push(connection, "job", "sample.sleep", 1)
            assert eventually(lambda: connection.llen("sample:began") == 1)
            own_redis.kill()
            time.sleep(1.5)
            own_redis.start("--appendonly", "yes", "--appendfsync", "always")

            assert ("finished", "slept") == end_of(connection, "job")


class TestSchema:
    def test_a_worker_ends_when_a_newer_schema_appears(self, connection: Redis) -> None:
        """
        A worker finishes its running jobs, ends with `state.schema_too_new`, and does not start again.
        """
        ready, ended = threading.Event(), list[object]()

        def work() -> None:
            try:
                run(
                    connection,
                    sample_functions(connection),
                    slots=2,
                    heartbeats=Heartbeats(),
                    stop=threading.Event(),
                    lease_seconds=1,
                    on_ready=ready.set,
                )
            except SchemaTooNew as failure:
                ended.append(failure.code)

        worker = threading.Thread(target=work)
        worker.start()
        assert ready.wait(30)
        job = push(connection, "job", "sample.sleep", 1)
        assert eventually(lambda: connection.llen("sample:began"))
        connection.set(KEY, SCHEMA + 1)
        worker.join(30)

        assert ["state.schema_too_new"] == ended
        assert ("finished", "slept") == end_of(connection, job)
        with pytest.raises(SchemaTooNew):
            run(
                connection,
                sample_functions(connection),
                slots=1,
                heartbeats=Heartbeats(),
                stop=threading.Event(),
            )


class TestStopOnSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_the_first_signal_sets_the_event(self, number: signal.Signals) -> None:
        """
        SIGTERM and SIGINT set the event. Docker sends SIGTERM, and a terminal sends SIGINT.
        """
        with stop_on_signals() as stop:
            os.kill(os.getpid(), number)

            assert stop.wait(5)

    def test_the_second_signal_ends_the_process(self) -> None:
        """
        A second signal ends the process even if its main thread waits forever.
        """
        with subprocess.Popen(
            [sys.executable, "-c", WAITS_TWICE], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in ("waiting\n", "stopping\n"):
                assert line == process.stdout.readline()
                process.send_signal(signal.SIGTERM)

            assert 128 + signal.SIGTERM == process.wait(5)

    def test_the_former_handlers_are_restored(self) -> None:
        """
        The block restores the former signal handlers at its end.
        """
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        with stop_on_signals():
            pass

        assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        assert -1 == signal.set_wakeup_fd(-1)

    def test_sighup_is_ignored_and_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        SIGHUP does not stop the worker, and the log names the way to reload the settings.
        """
        caplog.set_level(logging.INFO)
        before = signal.getsignal(signal.SIGHUP)
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            wait_until(lambda: caplog.records or None, lambda: "no line")

            assert not stop.is_set()

        assert "ignored SIGHUP" in caplog.text
        assert before == signal.getsignal(signal.SIGHUP)

    def test_other_signals_do_not_stop_the_worker(self) -> None:
        """
        Other signals do not set the event, for example that of an ended child process.
        """
        former = signal.signal(signal.SIGUSR1, lambda *_: None)
        try:
            with stop_on_signals() as stop:
                os.kill(os.getpid(), signal.SIGUSR1)

                assert not stop.wait(0.2)
        finally:
            signal.signal(signal.SIGUSR1, former)


def cpus_after_pinning(seed: int) -> set[int]:
    """
    Return the CPUs of a thread in a process that uses one CPU.
    """
    command = [sys.executable, "-c", PIN.format(seed=seed)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {int(cpu) for cpu in output.split()}


class TestPinToOneCpu:
    def test_all_threads_run_on_one_permitted_cpu(self) -> None:
        """
        All threads of a worker run on one CPU that the container permits.
        """
        (cpu,) = cpus_after_pinning(seed=1)

        assert cpu in os.sched_getaffinity(0)

    def test_several_workers_use_several_cpus(self) -> None:
        """
        Different workers select different CPUs.
        """
        chosen = set().union(*(cpus_after_pinning(seed) for seed in range(8)))

        assert min(2, len(os.sched_getaffinity(0))) <= len(chosen)
