"""
Tests of `certworker request`, `remove` and `resume`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from certworker.app import App
from certworker.errors.ca import ServerInternal
from certworker.errors.rate import Paused
from certworker.worker.producer import queue_length
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.worker import WorkerProcess, wait_until

NAME = "main.localhost"
REMOVED = "shop.localhost"
LINK = "https://ca.example/unpause?jwt=abc"


class TestRequest:
    def test_without_wait_it_only_queues(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        Without `--wait` the command queues the requests and ends, with or without a worker.
        """
        ended = worker.command("request", "a.localhost", "b.localhost")

        assert 0 == ended.returncode
        assert 2 == queue_length(connection)
        assert "certworker status a.localhost" in ended.stdout

    def test_together_requests_one_certificate(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        With `--together` all names share one job.
        """
        worker.command("request", "--together", "a.localhost", "b.localhost")

        assert 1 == queue_length(connection)

    def test_a_file_can_have_thousands_of_names(
        self, worker: WorkerProcess, connection: Redis, tmp_path: Path
    ) -> None:
        """
        One command queues a request for each name of a long file.
        """
        (tmp_path / "names").write_text("".join(f"shop{number}.localhost\n" for number in range(3_000)))
        ended = worker.command("request", "--file", str(tmp_path / "names"))

        assert 0 == ended.returncode
        assert 3_000 == queue_length(connection)

    def test_too_many_names_for_a_certificate_are_refused(
        self, worker: WorkerProcess, connection: Redis, tmp_path: Path
    ) -> None:
        """
        The command fails, and queues no job.
        """
        (tmp_path / "names").write_text("".join(f"shop{number}.localhost\n" for number in range(101)))
        ended = worker.command("request", "--together", "--file", str(tmp_path / "names"))

        assert 1 == ended.returncode
        assert "[payload.too_many_names]" in ended.stderr
        assert 0 == queue_length(connection)

    def test_a_name_that_cannot_be_certified_is_refused_before_it_is_queued(
        self, worker: WorkerProcess, connection: Redis
    ) -> None:
        """
        The command fails with the code of the name, and queues no job.
        """
        ended = worker.command("request", "not a name")

        assert 1 == ended.returncode
        assert "[name.invalid_char]" in ended.stderr
        assert 0 == queue_length(connection)

    def test_waiting_ends_at_the_timeout(self, worker: WorkerProcess) -> None:
        """
        Without a worker, the command ends after the timeout.
        """
        ended = worker.command("request", "--wait", "--timeout", "1", "a.localhost")

        assert 1 == ended.returncode
        assert "not ended after 1 s" in ended.stdout

    def test_the_timeout_is_for_all_names_together(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        The timeout applies once, however many names the command waits for.

        One timeout for each of forty names would exceed the limit of this test.
        """
        (tmp_path / "names").write_text("".join(f"shop{number}.localhost\n" for number in range(40)))
        for command in ("request", "remove"):
            ended = worker.command(command, "--wait", "--timeout", "1", "--file", str(tmp_path / "names"))

            assert 1 == ended.returncode
            assert 40 == ended.stdout.count("not ended after 1 s")


class TestRemove:
    def test_the_worker_removes_a_name_and_the_command_waits(self, worker: WorkerProcess) -> None:
        """
        When the command ends, the proxy has no configuration of the name, and the name is unknown.
        """
        worker.environment["_APP_DOMAIN"] = REMOVED
        config = Path(worker.environment["CERTWORKER_CONFIG_DIR"])
        worker.start()
        worker.wait_for_line(f"{REMOVED}.*certificate issued")
        ended = worker.command("remove", "--wait", REMOVED)

        assert (0, f"{REMOVED}: removed\n") == (ended.returncode, ended.stdout)
        assert not (config / f"{REMOVED}.yml").exists()
        assert 1 == worker.command("status", REMOVED).returncode
        assert f"{REMOVED}: unknown\n" == worker.command("remove", "--wait", REMOVED).stdout

    def test_each_name_of_a_file_is_a_job(
        self, worker: WorkerProcess, connection: Redis, tmp_path: Path
    ) -> None:
        """
        Each name has its own job, so that none delays another.
        """
        (tmp_path / "names").write_text("a.localhost\nb.localhost\n")
        ended = worker.command("remove", "--file", str(tmp_path / "names"))

        assert 0 == ended.returncode
        assert 2 == queue_length(connection)


class TestResume:
    def test_a_paused_name_is_requested_again(
        self, worker: WorkerProcess, app_authority: FaultyAuthority
    ) -> None:
        """
        The status shows the link of the CA. Only `certworker resume` leads to a new order.
        """
        paused = Fault(429, "rateLimited", 60, f"temporarily prevented from requesting. Please visit: {LINK}")
        app_authority.faults.fail("newOrder", paused)
        worker.start()
        worker.wait_for_line(f"{NAME}.*certificate not issued: .rate.paused")
        worker.terminate()
        worker.start()
        wait_until(
            lambda: worker.log.count("certificate not issued: [rate.paused]") == 2 or None, lambda: worker.log
        )
        shown = worker.command("status", NAME).stdout
        assert "paused" in shown
        assert f"{LINK} and then run: certworker resume {NAME}" in shown
        assert 1 == sum(request.kind == "newOrder" for request in app_authority.requests)

        assert 0 == worker.command("resume", NAME).returncode
        worker.wait_for_line(r"certificate requested by certworker resume \(uid \d+ on ")
        worker.wait_for_line(f"{NAME}.*certificate issued")

    def test_resume_deletes_the_pending_order(
        self,
        worker: WorkerProcess,
        app: App,
        app_authority: FaultyAuthority,
        connection: Redis,
    ) -> None:
        """
        The command deletes the pending order, so that the worker creates a new one.
        """
        (issuer,) = app.issuers
        app_authority.faults.fail("certificate", Fault())
        with pytest.raises(ServerInternal):
            app.issuance.issue((NAME,))
        paused = Fault(429, "rateLimited", 60, f"temporarily prevented from requesting. Please visit: {LINK}")
        app_authority.faults.fail("newOrder", paused)
        with pytest.raises(Paused), issuer.budget.reserve([NAME], exempt=False, renewal=False):
            issuer.client.order((NAME,))

        ended = worker.command("resume", "--json", NAME)
        assert 0 == ended.returncode
        document = json.loads(ended.stdout)
        assert ("requested", [NAME], 1) == (document["state"], document["names"], document["position"])
        assert issuer.pending_orders.find((NAME,)) is None
        assert [] == list(app.settings.state_dir.glob("orders/*/*.pem"))
        assert 1 == queue_length(connection)

    def test_a_name_that_is_not_paused_is_not_requested(
        self, worker: WorkerProcess, app: App, connection: Redis
    ) -> None:
        """
        For a name that is not paused the command queues no request.
        """
        app.issuance.issue((NAME,))
        ended = worker.command("resume", NAME)

        assert 0 == ended.returncode
        assert f"{NAME} is not paused" in ended.stdout
        assert 0 == queue_length(connection)

    def test_an_unknown_name_is_not_resumed(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        For an unknown name, the exit code is 1, and the message has the command that requests the name.
        """
        ended = worker.command("resume", "unknown.localhost")
        as_json = worker.command("resume", "--json", "unknown.localhost")

        assert [1, 1] == [ended.returncode, as_json.returncode]
        assert "unknown.localhost is unknown here. To request it: certworker request" in ended.stderr
        assert "unknown" == json.loads(as_json.stdout)["state"]
        assert 0 == queue_length(connection)


def test_the_module_loads_no_acme_client() -> None:
    """
    The import of the module does not import the slow ACME client, which only `resume` needs.
    """
    listing = "import sys, certworker.cli.request; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)

    assert {"josepy", "rich", "rq", "certworker.acme.client"}.isdisjoint(ended.stdout.split())
