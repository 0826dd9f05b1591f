"""
Restarts, failures and updates of containers.
"""

from __future__ import annotations

from certworker.preflight.runner import SETTLING_SECONDS
from tests.containers.certification import ContainedPebble
from tests.containers.project import WORKER, Project
from tests.servers.worker import wait_until

#: The timeout for the locks of a dead worker, which end after 90 seconds.
UNTIL_A_DEAD_WORKER_IS_MISSED_SECONDS = 150


class TestRestarts:
    def test_a_restart_requests_failed_own_names_and_orders_no_valid_certificate(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        A restart requests the names of `_APP_DOMAIN` again, and places no order for valid certificates.
        """
        project.settings["_APP_DOMAIN"] = "main.internal,shop.internal"
        pebble.start()
        pebble.stop_for_a_while()
        project.up()
        project.wait_for_line("main.internal: certificate not issued:")
        pebble.start_again()
        project.compose("restart", WORKER)
        for name in ("main.internal", "shop.internal"):
            project.wait_for_line(f"{name}: certificate issued")
        before = pebble.orders()
        project.compose("restart", WORKER)
        project.wait_for_line("main.internal: certificate valid, nothing to do")

        assert before == pebble.orders()

    def test_after_down_and_up_account_and_certificates_are_the_same(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        New containers use the account and the certificates on the volumes.
        """
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        shown = project.visit("main.internal")
        project.compose("down")
        project.up()
        project.wait_for_line("main.internal: certificate valid, nothing to do")

        assert shown == project.visit("main.internal")
        assert 1 == pebble.orders()
        project.request("shop.internal")
        project.wait_for_line("shop.internal: certificate issued")
        assert 1 == pebble.accounts()


class TestAccidents:
    def test_a_worker_that_is_killed_during_an_order_completes_it_later(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        The engine restarts the worker after SIGKILL, and the worker completes the job without another
        request.
        """
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        # The validation of the CA waits for Traefik, and so does the order.
        project.compose("pause", "traefik")
        project.request("shop.internal")
        # The restarted worker checks port 80 again before it sends a request to the CA.
        wait_until(lambda: pebble.orders() == 2 or None, project.logs, SETTLING_SECONDS + 30)
        project.crash()
        project.compose("unpause", "traefik")
        project.wait_for_line(
            "shop.internal: certificate issued", seconds=UNTIL_A_DEAD_WORKER_IS_MISSED_SECONDS
        )

        assert project.visit("shop.internal")
        assert pebble.orders() <= 3

    def test_the_queue_survives_a_restart_of_redis(self, project: Project, pebble: ContainedPebble) -> None:
        """
        The worker processes the jobs from before a restart of Redis, and later jobs.
        """
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        project.compose("stop", WORKER)
        project.request("shop.internal")
        project.compose("restart", "redis")
        project.compose("start", WORKER)
        project.wait_for_line("shop.internal: certificate issued")
        project.compose("restart", "redis")
        project.request("one.internal")

        project.wait_for_line("one.internal: certificate issued")
        assert "Traceback" not in project.logs()

    def test_the_health_of_the_container_is_that_of_the_worker(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        The health of the container is unhealthy without Redis, and healthy with Redis.
        """
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        project.wait_for_health("healthy")
        project.compose("stop", "redis")
        project.wait_for_health("unhealthy")
        project.wait_for_line("redis.unreachable")
        project.compose("start", "redis")

        project.wait_for_health("healthy")
