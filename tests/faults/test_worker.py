"""
A worker that stops during its jobs, and one whose Redis fails several times.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from certworker.devca.messages import Problem
from certworker.state.locks import LOCKS
from certworker.traefik.config import TraefikConfig
from certworker.worker.producer import request_certificate
from certworker.worker.worker import STOP_DEADLINE_SECONDS
from tests.app_fixture import environment
from tests.faults.accidents import Accidents
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess, wait_until

pytestmark = pytest.mark.timeout(400)

#: The timeout on a busy machine. An idle machine needs a tenth of it.
PATIENCE_SECONDS = 200.0

#: The accidents that last until their repair. The worker logs them.
LASTING = ("fill", "read_only", "kill")

#: Options with which Redis does not lose its jobs after SIGKILL: it confirms a request after a sync. With the
#: default `everysec`, it may write two seconds later on a busy disk.
PERSISTENT = ("--appendonly", "yes", "--appendfsync", "always")

#: The lease time, which is shorter than in production.
LEASE_SECONDS = 5
#: The lease time of a worker that must not repeat a job itself.
LONG_LEASE_SECONDS = 300


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """
    Start a Redis that does not lose its jobs after SIGKILL.
    """
    server = RedisServer(tmp_path / "redis")
    server.start(*PERSISTENT)
    yield server
    server.kill()


@pytest.fixture
def worker(
    tmp_path: Path, server: RedisServer, app_authority: FaultyAuthority, http_port: int
) -> Iterator[WorkerProcess]:
    """
    Yield a worker with 64 slots that is not started.
    """
    variables = environment(
        tmp_path,
        app_authority.directory_url,
        http_port,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(server.port),
        CERTWORKER_CONCURRENCY="64",
    )
    process = WorkerProcess(variables, tmp_path / "worker.log")
    process.program = ["tests.servers.worker_program", str(LEASE_SECONDS)]
    yield process
    process.kill()


def requested(connection: Redis, names: list[str]) -> None:
    """
    Request a certificate for each of *names*.
    """
    for name in names:
        request_certificate(name, connection=connection)


def wait_until_served(place: Path, names: list[str], worker: WorkerProcess) -> None:
    """
    Wait until each of *names* is in service.
    """
    traefik = TraefikConfig(place / "config")
    wait_until(
        lambda: all(traefik.files(name) for name in names) or None,
        lambda: f"{[name for name in names if not traefik.files(name)]}\n{worker.log[-5000:]}",
        PATIENCE_SECONDS,
    )


class TestTerminated:
    @pytest.mark.parametrize("seconds", [2.0, 60.0], ids=["slow", "never"])
    def test_64_running_jobs_end_or_are_resumed(
        self,
        worker: WorkerProcess,
        server: RedisServer,
        app_authority: FaultyAuthority,
        tmp_path: Path,
        seconds: float,
    ) -> None:
        """
        After a stop during 64 jobs, the restarted worker completes them, with one order for each name.
        """
        names = [f"shop{number}.tenant{number}.localhost" for number in range(64)]
        app_authority.faults.slow_seconds = {"finalize": seconds}
        worker.start()
        worker.wait_for_line("ready")
        with server.client() as connection:
            requested(connection, names)
        wait_until(
            lambda: sum(asked.kind == "challenge" for asked in app_authority.requests) >= 64 or None,
            lambda: worker.log[-5000:],
            PATIENCE_SECONDS,
        )
        began = time.monotonic()
        assert 0 == worker.terminate(STOP_DEADLINE_SECONDS + 30)
        took = time.monotonic() - began
        app_authority.faults.reset()
        worker.start()
        wait_until_served(tmp_path, names, worker)

        orders = sum(asked.kind == "newOrder" and asked.names[0] in names for asked in app_authority.requests)
        assert took < STOP_DEADLINE_SECONDS + 20
        assert "Traceback" not in worker.log
        assert 64 == orders


class TestKilled:
    def test_a_forced_request_is_completed_although_its_lock_lasts(
        self, worker: WorkerProcess, server: RedisServer, app_authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        After SIGKILL during a forced request, the next worker takes over the lock and issues.
        """
        name = "shop.localhost"
        worker.start()
        with server.client() as connection:
            requested(connection, [name])
            wait_until_served(tmp_path, [name], worker)
            before = TraefikConfig(tmp_path / "config").files(name)
            app_authority.faults.slow_seconds = {"finalize": 300.0}
            request_certificate(name, force=True, connection=connection)
            wait_until(
                lambda: sum(asked.kind == "finalize" for asked in app_authority.requests) > 1 or None,
                lambda: worker.log[-5000:],
                PATIENCE_SECONDS,
            )
            worker.kill()
            assert connection.pexpire(f"{LOCKS}{name}", 3_000_000)
            app_authority.faults.reset()
            worker.start()
            wait_until(
                lambda: TraefikConfig(tmp_path / "config").files(name) != before or None,
                lambda: worker.log[-5000:],
                PATIENCE_SECONDS,
            )
        assert "lock.held" not in worker.log
        assert 2 == sum(asked.kind == "newOrder" for asked in app_authority.requests)

    def test_a_forced_request_is_ordered_once_if_its_job_is_repeated(
        self, worker: WorkerProcess, server: RedisServer, app_authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        After SIGKILL between the record of a success and the end of its job, the next run orders nothing.
        """
        name, running = "shop.localhost", "rq:wip:certificates"
        worker.program = ["tests.servers.worker_program", str(LONG_LEASE_SECONDS)]
        worker.start()
        with server.client() as connection:
            requested(connection, [name])
            wait_until_served(tmp_path, [name], worker)
            worker.wait_for_line("certificate issued")
            wait_until(lambda: not connection.zcard(running) or None, lambda: worker.log)
            # RQ cannot record the end of the job.
            connection.execute_command("ACL", "SETUSER", "default", "-xadd")
            request_certificate(name, force=True, connection=connection)
            worker.wait_for_line("job issue-.*redis.rights")
            worker.kill()
            connection.zadd(running, dict.fromkeys(connection.zrange(running, 0, -1), 1))
            connection.execute_command("ACL", "SETUSER", "default", "+xadd")
            issued = TraefikConfig(tmp_path / "config").files(name)
            worker.start()
            worker.wait_for_line("the forced request has already been completed")
            worker.wait_for_line("certificate valid, nothing to do")

        assert issued == TraefikConfig(tmp_path / "config").files(name)
        assert 2 == sum(asked.kind == "newOrder" for asked in app_authority.requests)

    def test_a_forced_request_that_failed_is_repeated_by_the_next_worker(
        self, worker: WorkerProcess, server: RedisServer, app_authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        A forced request fails, and the worker is killed. The next worker orders at the planned time.
        """
        name = "shop.localhost"
        worker.start()
        with server.client() as connection:
            requested(connection, [name])
            wait_until_served(tmp_path, [name], worker)
            before = TraefikConfig(tmp_path / "config").files(name)
            app_authority.stop()
            request_certificate(name, force=True, by="root on host", connection=connection)
            worker.wait_for_line("certificate not issued: .ca.unreachable")
            pending = worker.command("status", name).stdout, worker.command("explain", name).stdout
            worker.kill()
            app_authority.start()
            worker.start()
            wait_until(
                lambda: TraefikConfig(tmp_path / "config").files(name) != before or None,
                lambda: worker.log[-5000:],
                PATIENCE_SECONDS,
            )
            wait_until(
                lambda: "pending" not in worker.command("status", name).stdout or None,
                lambda: worker.log[-5000:],
                PATIENCE_SECONDS,
            )

        assert "forced       pending since" in pending[0]
        assert "pending: a forced request, made by root on host" in pending[1]
        assert 2 == sum(asked.kind == "newOrder" for asked in app_authority.requests)


class TestExpectedFailures:
    def test_an_expected_failure_is_a_sentence_with_a_code(
        self, worker: WorkerProcess, server: RedisServer, app_authority: FaultyAuthority
    ) -> None:
        """
        At the level INFO no expected failure has a traceback, whoever causes it: a producer, the CA, the name
        or the network.
        """
        worker.environment["CERTWORKER_LOG"] = "json"
        worker.start()
        worker.wait_for_line("ready")
        with server.client() as connection:
            for job, data in (("pickled", pickle.dumps(("os.system", None, ("true",), {}))), ("odd", b"{")):
                connection.hset(f"rq:job:{job}", mapping={"data": data, "status": "queued"})
            connection.rpush("rq:queue:certificates", "pickled", "odd", "unknown", b"\xff")
            connection.set("certworker:name:odd.localhost", "not a hash")
            requested(connection, ["nowhere.invalid", "odd.localhost"])
            for job in ("pickled", "odd"):
                worker.wait_for_line(f'"failed".*"job": "{job}"')
            worker.wait_for_line('"failed".*"nowhere.invalid".*"attempt"')
            worker.wait_for_line('"issued".*"odd.localhost"')
            app_authority.faults.refusal = Problem("connection", "Timeout during connect")
            requested(connection, ["refused.localhost"])
            worker.wait_for_line('"failed".*"refused.localhost".*"attempt"')
            app_authority.stop()
            requested(connection, ["away.localhost"])
            worker.wait_for_line('"failed".*"away.localhost".*"attempt"')
        assert 0 == worker.terminate()

        lines = [json.loads(line) for line in worker.log.splitlines()]
        assert [] == [line for line in lines if "trace" in line or "worker.unexpected" in line["message"]]
        failed = {line["code"].partition(".")[0] for line in lines if line.get("event") == "failed"}
        assert {"payload", "queue", "dns", "http", "ca"} <= failed


class TestRedis:
    def test_jobs_are_completed_after_each_accident(
        self, worker: WorkerProcess, server: RedisServer, tmp_path: Path
    ) -> None:
        """
        The worker completes its jobs after each accident of Redis, without a restart and without a second
        request.
        """
        worker.environment["CERTWORKER_CONCURRENCY"] = "4"
        worker.start()
        worker.wait_for_line("ready")
        accidents = Accidents(server, *PERSISTENT)
        with ExitStack() as stack, server.client() as connection:
            for accident in ("cut", "hang", "fill", "read_only", "kill"):
                names = [f"{accident.replace('_', '-')}{number}.localhost" for number in range(6)]
                requested(connection, names)
                faults = worker.log.count("[redis.")
                getattr(accidents, accident)()
                if accident in LASTING:
                    wait_until(
                        lambda: worker.log.count("[redis.") > faults or None,  # noqa: B023 (it runs within this turn)
                        lambda: worker.log[-5000:],
                        PATIENCE_SECONDS,
                    )
                accidents.repair()
                wait_until_served(tmp_path, names, worker)
            stack.callback(worker.kill)

        assert "Traceback" not in worker.log
