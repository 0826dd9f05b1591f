"""
The end of a pause.
"""

from __future__ import annotations

import json

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
LINK = "https://ca.example/unpause?jwt=abc"


class TestResume:
    def test_a_paused_name_is_asked_for_again(
        self, worker: WorkerProcess, app_authority: FaultyAuthority
    ) -> None:
        """
        The status shows the link, a person opens it and says so; a restart alone asks the CA no more.
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
        assert 1 == sum(asked.kind == "newOrder" for asked in app_authority.requests)

        assert 0 == worker.command("resume", NAME).returncode
        worker.wait_for_line(r"certificate requested by certworker resume \(uid \d+ on ")
        worker.wait_for_line(f"{NAME}.*certificate issued")

    def test_a_pending_order_is_dropped(
        self,
        worker: WorkerProcess,
        app: App,
        app_authority: FaultyAuthority,
        connection: Redis,
    ) -> None:
        """
        After a pause the name begins with a new order.
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
        told = json.loads(ended.stdout)
        assert ("requested", [NAME], 1) == (told["state"], told["names"], told["position"])
        assert issuer.pending_orders.find((NAME,)) is None
        assert [] == list(app.settings.state_dir.glob("orders/*/*.pem"))
        assert 1 == queue_length(connection)

    def test_a_name_that_is_not_paused_is_left_alone(
        self, worker: WorkerProcess, app: App, connection: Redis
    ) -> None:
        """
        No order is placed for the sake of it.
        """
        app.issuance.issue((NAME,))
        ended = worker.command("resume", NAME)

        assert 0 == ended.returncode
        assert f"{NAME} is not paused" in ended.stdout
        assert 0 == queue_length(connection)
