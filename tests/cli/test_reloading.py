"""
A worker that tells containers of new certificates.
"""

from __future__ import annotations

from tests.servers.engine import Engine
from tests.servers.worker import WorkerProcess


class TestWork:
    def test_a_new_certificate_reloads_and_an_engine_that_refuses_fails_nothing(
        self, worker: WorkerProcess
    ) -> None:
        """
        The whole way, from the variable to the engine.
        """
        with Engine({"web", "mail"}, refusing="/mail/") as engine:
            worker.environment["CERTWORKER_RELOAD"] = "web:HUP,mail:restart"
            worker.environment["CERTWORKER_DOCKER_HOST"] = engine.address
            worker.start()
            worker.wait_for_line("main.localhost.*DONE")
            worker.wait_for_line("web:HUP: done")
            worker.wait_for_line(r"\[reload.refused\].*does not allow mail:restart")

            assert ["POST /containers/web/kill?signal=HUP"] == engine.asked
        assert "reload.refused" not in worker.command("status", "main.localhost").stdout
