"""
Tests of the page in real processes: inside a worker, and alone with `certworker web`.
"""

from __future__ import annotations

import socket
from pathlib import Path

from certworker.web.server import TOKENS
from tests.servers.ports import free_port, reserved
from tests.servers.redis import RedisServer
from tests.servers.worker import PATIENCE_SECONDS, WorkerProcess


def with_page(worker: WorkerProcess, host: str = "127.0.0.1") -> int:
    """
    Let *worker* serve the page at a free port, and return the port.
    """
    port = free_port()
    worker.environment["CERTWORKER_WEB_ADDRESS"] = f"{host}:{port}"
    return port


def status_of(worker: WorkerProcess, port: int, path: str) -> int:
    """
    Return the status of *path* at *port* of this machine. The first request imports the application.
    """
    before, worker.http_port = worker.http_port, port
    try:
        return worker.get(path, PATIENCE_SECONDS)[0]
    finally:
        worker.http_port = before


class TestInTheWorker:
    def test_a_worker_serves_the_page_at_its_own_port_only(self, worker: WorkerProcess) -> None:
        """
        The page answers at its address. The HTTP port, which the Internet reaches, has neither page nor API.
        """
        port = with_page(worker)
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        worker.wait_for_line(
            rf"the page is at http://127.0.0.1:{port}/$|the page is at http://127.0.0.1:{port}/ "
        )

        assert 200 == status_of(worker, port, "/")
        assert 200 == status_of(worker, port, "/names/main.localhost")
        paths = (
            "/",
            "/names",
            "/login",
            "/api/v1/names",
            "/api/v1/openapi.json",
            "/queue/",
            "/assets/icon.svg",
        )
        assert {404} == {status_of(worker, worker.http_port, path) for path in paths}
        assert 404 == status_of(worker, port, "/metrics")
        assert 404 == status_of(worker, port, "/.well-known/acme-challenge/token")
        assert 0 == worker.terminate()
        assert "Traceback" not in worker.log

    def test_another_address_needs_the_token_of_the_log(self, worker: WorkerProcess) -> None:
        """
        On another address than loopback, the log has the first token, and no request is answered without it.
        """
        port = with_page(worker, "0.0.0.0")
        worker.start()
        line = worker.wait_for_line("the first token, which is shown only once, has the role admin: cw_")

        assert f"http://127.0.0.1:{port}/login" in line
        assert 303 == status_of(worker, port, "/")

    def test_a_taken_default_address_is_a_warning(self, worker: WorkerProcess) -> None:
        """
        Without the setting, a worker whose default address is in use issues certificates without the page.
        """
        del worker.environment["CERTWORKER_WEB_ADDRESS"]
        with reserved(8081) as port, socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            worker.start()
            line = worker.wait_for_line("the page did not start")
            worker.wait_for_line("main.localhost: certificate issued")

        assert "WARN" in line
        assert "CERTWORKER_WEB_ADDRESS" in line
        assert 0 == worker.command("health").returncode

    def test_the_address_of_the_metrics_is_taken_as_well(self, worker: WorkerProcess) -> None:
        """
        Metrics at the default address of the page, as in older settings, remain there.
        """
        del worker.environment["CERTWORKER_WEB_ADDRESS"]
        with reserved(8081) as port:
            worker.environment["CERTWORKER_METRICS_ADDRESS"] = f"127.0.0.1:{port}"
            worker.start()
            worker.wait_for_line("the page did not start")
            worker.wait_for_line("ready")

            assert 200 == status_of(worker, port, "/metrics")
            assert 0 == worker.terminate()

    def test_a_taken_address_that_is_set_is_a_failure(self, worker: WorkerProcess) -> None:
        """
        An address that the operator has set must be usable.
        """
        worker.environment["CERTWORKER_WEB_ADDRESS"] = f"127.0.0.1:{worker.http_port}"
        worker.start()
        worker.wait_for_line("config.http_address")
        assert worker.process is not None

        assert 2 == worker.process.wait(30)

    def test_the_application_is_not_loaded_before_its_first_request(self, worker: WorkerProcess) -> None:
        """
        A worker whose page is not used does not import Flask.
        """
        worker.environment["PYTHONVERBOSE"] = "1"
        port = with_page(worker)
        worker.start()
        worker.wait_for_line("ready")
        assert "import 'waitress'" in worker.log
        assert "import 'flask'" not in worker.log
        status_of(worker, port, "/")

        worker.wait_for_line("import 'flask'")


class TestAlone:
    def test_the_command_serves_the_page_without_a_worker(
        self, worker: WorkerProcess, tmp_path: Path
    ) -> None:
        """
        The page alone starts, responds and ends with SIGTERM. It creates no token on loopback.
        """
        port = with_page(worker)
        worker.program = ["certworker", "web"]
        worker.start()
        worker.wait_for_line("the page is at")

        assert 200 == status_of(worker, port, "/names")
        assert 0 == worker.terminate()
        assert "stopped" in worker.log
        assert not (tmp_path / "state" / "web" / TOKENS).exists()

    def test_an_outage_of_redis_is_logged(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        Redis does not respond at the start. The log has its reason once, and the end of the outage.
        """
        with_page(worker)
        redis = RedisServer(tmp_path)
        worker.environment["_APP_REDIS_PORT"] = str(redis.port)
        worker.program = ["certworker", "web"]
        worker.start()
        worker.wait_for_line(r"redis\.unreachable")
        redis.start()
        try:
            worker.wait_for_line("is available again")
        finally:
            redis.kill()

        assert 1 == worker.log.count("[redis.unreachable]")

    def test_a_disabled_page_is_a_message(self, worker: WorkerProcess) -> None:
        """
        The command needs an address.
        """
        ended = worker.command("web")

        assert 1 == ended.returncode
        assert "CERTWORKER_WEB_ADDRESS is off. Set an address" in ended.stderr

    def test_a_taken_address_is_a_failure(self, worker: WorkerProcess) -> None:
        """
        The command fails if another program uses its address, even the default address.
        """
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            worker.environment["CERTWORKER_WEB_ADDRESS"] = f"127.0.0.1:{other.getsockname()[1]}"
            ended = worker.command("web")

        assert 2 == ended.returncode
        assert "config.http_address" in ended.stderr
