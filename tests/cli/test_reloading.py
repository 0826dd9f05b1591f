"""
Tests of a worker that reloads containers after new certificates, and reads their labels.
"""

from __future__ import annotations

from pathlib import Path

from tests.servers.engine import Engine
from tests.servers.worker import WorkerProcess


class TestWork:
    def test_a_new_certificate_reloads_and_a_refused_reload_fails_no_job(self, worker: WorkerProcess) -> None:
        """
        The worker sends the reload to the engine, and logs a refused one.
        """
        with Engine({"web", "mail"}, refusing="/mail/") as engine:
            worker.environment["CERTWORKER_RELOAD"] = "web:HUP,mail:restart"
            worker.environment["CERTWORKER_DOCKER_HOST"] = engine.address
            worker.start()
            worker.wait_for_line("main.localhost.*certificate issued")
            worker.wait_for_line("web:HUP: reloaded")
            worker.wait_for_line(r"\[reload.refused\].*does not allow the reload mail:restart")

            assert ["POST /containers/web/kill?signal=HUP"] == engine.asked
        assert "reload.refused" not in worker.command("status", "main.localhost").stdout

    def test_labels_are_not_read_by_default(self, worker: WorkerProcess) -> None:
        """
        Without the setting, the worker never reads the labels.
        """
        with Engine({"web"}) as engine:
            engine.start("shop", certworker_domains="shop.localhost", certworker_reload="HUP")
            worker.environment["CERTWORKER_RELOAD"] = "web:HUP"
            worker.environment["CERTWORKER_DOCKER_HOST"] = engine.address
            worker.start()
            worker.wait_for_line("web:HUP: reloaded")

            assert ["POST /containers/web/kill?signal=HUP"] == engine.asked
        assert "shop.localhost" not in worker.log

    def test_a_container_that_starts_gets_its_certificate_and_a_reload(self, worker: WorkerProcess) -> None:
        """
        The worker requests the certificate of a started container, and then reloads the container.
        """
        with Engine(set()) as engine:
            worker.environment["CERTWORKER_DOCKER_LABELS"] = "true"
            worker.environment["CERTWORKER_DOCKER_HOST"] = engine.address
            worker.start()
            worker.wait_for_line("main.localhost.*certificate issued")
            engine.start("shop", certworker_domains="shop.localhost", certworker_reload="HUP")
            worker.wait_for_line("shop.localhost.*certificate issued")
            worker.wait_for_line("shop:HUP: reloaded")
            history = worker.explained("certificate requested by", "shop.localhost")

            assert "POST /containers/shop/kill?signal=HUP" in engine.asked
            assert 0 == worker.terminate()
        assert "certificate requested by the label of the container shop" in history

    def test_a_deploy_hook_runs_after_each_publication(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        A failed hook does not affect the job, and the history of the name has the failure.
        """
        program = tmp_path / "deploy hook"
        program.write_text(
            f'#!/bin/sh\nenv > {tmp_path}/environment\n[ "$CERTWORKER_DOMAIN" = main.localhost ]\n'
        )
        program.chmod(0o755)
        worker.environment["CERTWORKER_DEPLOY_HOOK"] = str(program)
        worker.start()
        worker.wait_for_line("main.localhost: the deploy hook succeeded")
        assert "_APP_" not in (tmp_path / "environment").read_text()
        ended = worker.command("request", "--wait", "shop.localhost")
        worker.wait_for_line(r"shop.localhost: \[hook.failed\].*exit code 1")

        assert 0 == ended.returncode
        assert "[hook.failed]" in worker.explained("[hook.failed]", "shop.localhost")
        assert 0 == worker.terminate()
