"""
Restarts, accidents and updates: what happens to containers in their lives.
"""

from __future__ import annotations

from certworker.preflight.runner import SETTLING_SECONDS
from tests.containers.certification import ContainedPebble
from tests.containers.project import WORKER, Project
from tests.servers.worker import wait_until

#: A worker that died keeps its names for ninety seconds.
UNTIL_A_DEAD_WORKER_IS_MISSED_SECONDS = 150


class TestRestarts:
    def test_a_restart_asks_again_for_what_failed_and_keeps_what_is_valid(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        `docker compose restart` is what people type to try once more; it must cost no order too many.
        """
        project.settings["_APP_DOMAIN"] = "main.internal,shop.internal"
        pebble.start()
        pebble.go_away()
        project.up()
        project.wait_for_line("main.internal: certificate not issued:")
        pebble.come_back()
        project.compose("restart", WORKER)
        for name in ("main.internal", "shop.internal"):
            project.wait_for_line(f"{name}: certificate issued")
        before = pebble.orders()
        project.compose("restart", WORKER)
        project.wait_for_line("main.internal: certificate valid, nothing to do")

        assert before == pebble.orders()

    def test_down_and_up_keep_the_account_and_the_certificates(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        Containers come and go with each update; what a CA limits lies in volumes.
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
    def test_a_worker_that_is_killed_in_mid_order_finishes_it_later(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        Nobody asks again and nobody starts it: the engine brings the worker back, and the job outlived it.
        """
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        # The CA's question hangs here, and the order with it.
        project.compose("pause", "traefik")
        project.request("shop.internal")
        # The worker has just started: it checks the paused port 80 again before it asks the CA.
        wait_until(lambda: pebble.orders() == 2 or None, project.logs, SETTLING_SECONDS + 30)
        project.crash()
        project.compose("unpause", "traefik")
        project.wait_for_line(
            "shop.internal: certificate issued", seconds=UNTIL_A_DEAD_WORKER_IS_MISSED_SECONDS
        )

        assert project.visit("shop.internal")
        assert pebble.orders() <= 3

    def test_a_redis_that_restarts_keeps_the_queue(self, project: Project, pebble: ContainedPebble) -> None:
        """
        What was asked for while nobody was there to take it is done afterwards, and so is what comes later.
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
        Without Redis nothing is issued, and whoever types `docker compose ps` sees it.
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
