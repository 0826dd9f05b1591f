"""
The container's health check.
"""

from __future__ import annotations

import json
import socket

from redis import Redis

from certworker.worker.health import REPORTS
from tests.servers.ports import free_port
from tests.servers.web import WebServer, trickling
from tests.servers.worker import WorkerProcess, wait_until


class TestHealth:
    def test_no_worker_is_not_well(self, worker: WorkerProcess) -> None:
        """
        The message has the address.
        """
        ended = worker.command("health")

        assert 1 == ended.returncode
        assert str(worker.http_port) in ended.stderr

    def test_a_running_worker_is_well(self, worker: WorkerProcess) -> None:
        """
        Redis answers, and the scheduler runs.
        """
        worker.start()
        worker.wait_for_line("ready")

        ended = worker.command("health")

        assert 0 == ended.returncode
        assert {"healthy": True, "redis": True, "scheduler": True, "stalled": []} == json.loads(ended.stdout)
        assert 1 == len(ended.stdout.splitlines())

    def test_an_answer_that_never_ends_is_not_well(self, worker: WorkerProcess) -> None:
        """
        Each line arrives in time, but the whole answer does not.
        """
        with WebServer(trickling) as server:
            worker.environment["CERTWORKER_HTTP_ADDRESS"] = f"127.0.0.1:{server.port}"
            ended = worker.command("health")

        assert 1 == ended.returncode
        assert "no complete answer within 3 s" in ended.stderr


class TestWithoutHttp:
    """
    CERTWORKER_HTTP_ADDRESS=off.
    """

    def test_the_report_in_redis_answers(self, worker: WorkerProcess) -> None:
        """
        A container without an HTTP port is healthy as well, with the same fields.
        """
        worker.environment["CERTWORKER_HTTP_ADDRESS"] = "off"
        before = worker.command("health")
        worker.start()
        worker.wait_for_line("ready")

        ended = wait_until(
            lambda: found if (found := worker.command("health")).returncode == 0 else None,
            lambda: worker.log,
        )
        assert 1 == before.returncode
        assert "No worker on" in before.stderr
        assert {"healthy": True, "redis": True, "scheduler": True, "stalled": []} == json.loads(ended.stdout)

    def test_a_worker_that_is_not_well_is_not(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        The report names the stalled loops. The report of another host does not count.
        """
        worker.environment["CERTWORKER_HTTP_ADDRESS"] = "off"
        report = {"healthy": False, "redis": True, "scheduler": True, "stalled": ["maintenance"]}
        for host, values in ((socket.gethostname(), report), ("elsewhere", {**report, "healthy": True})):
            connection.sadd(REPORTS, host)
            connection.set(f"{REPORTS}:{host}", json.dumps({"host": host, **values}))
        ended = worker.command("health")

        assert 1 == ended.returncode
        assert report == json.loads(ended.stdout)

    def test_an_unreachable_redis_is_reported_with_its_remedy(self, worker: WorkerProcess) -> None:
        """
        Without Redis the worker is not healthy.
        """
        worker.environment |= {"CERTWORKER_HTTP_ADDRESS": "off", "_APP_REDIS_PORT": str(free_port())}
        ended = worker.command("health")

        assert 1 == ended.returncode
        assert "redis.unreachable" in ended.stderr
