"""
Tests of `certworker health`, the health check of the container.
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
    def test_a_missing_worker_is_unhealthy(self, worker: WorkerProcess) -> None:
        """
        Without a worker, the command fails, and the message has the address.
        """
        ended = worker.command("health")

        assert 1 == ended.returncode
        assert str(worker.http_port) in ended.stderr

    def test_a_running_worker_is_healthy(self, worker: WorkerProcess) -> None:
        """
        A running worker is healthy, and the output is one JSON object.
        """
        worker.start()
        worker.wait_for_line("ready")

        ended = worker.command("health")

        assert 0 == ended.returncode
        assert {"healthy": True, "redis": True, "scheduler": True, "stalled": []} == json.loads(ended.stdout)
        assert 1 == len(ended.stdout.splitlines())

    def test_an_incomplete_answer_is_unhealthy(self, worker: WorkerProcess) -> None:
        """
        An answer that is not complete within 3 seconds is a failure.
        """
        with WebServer(trickling) as server:
            worker.environment["CERTWORKER_HTTP_ADDRESS"] = f"127.0.0.1:{server.port}"
            ended = worker.command("health")

        assert 1 == ended.returncode
        assert "no complete response within 3 s" in ended.stderr


class TestWithoutHttp:
    """
    The health check with CERTWORKER_HTTP_ADDRESS=off.
    """

    def test_the_command_reads_the_report_in_redis(self, worker: WorkerProcess) -> None:
        """
        A worker without an HTTP port is healthy, and the output has the same fields.
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

    def test_an_unhealthy_worker_is_reported(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        The output names the stalled loops. The report of another host has no effect.
        """
        worker.environment["CERTWORKER_HTTP_ADDRESS"] = "off"
        report = {"healthy": False, "redis": True, "scheduler": True, "stalled": ["maintenance"]}
        for host, values in ((socket.gethostname(), report), ("elsewhere", {**report, "healthy": True})):
            connection.sadd(REPORTS, host)
            connection.set(f"{REPORTS}:{host}", json.dumps({"host": host, **values}))
        ended = worker.command("health")

        assert 1 == ended.returncode
        assert report == json.loads(ended.stdout)

    def test_an_ipv6_address_has_brackets_in_the_message(self, worker: WorkerProcess) -> None:
        """
        Without the brackets, the last group of the address would look like the port.
        """
        port = free_port()
        worker.environment["CERTWORKER_HTTP_ADDRESS"] = f"[::1]:{port}"
        ended = worker.command("health")

        assert 1 == ended.returncode
        assert f"does not respond at [::1]:{port} (" in ended.stderr

    def test_an_unreachable_redis_is_reported_with_its_remedy(self, worker: WorkerProcess) -> None:
        """
        Without Redis, the command fails with the code of the failure.
        """
        worker.environment |= {"CERTWORKER_HTTP_ADDRESS": "off", "_APP_REDIS_PORT": str(free_port())}
        ended = worker.command("health")

        assert 1 == ended.returncode
        assert "redis.unreachable" in ended.stderr
