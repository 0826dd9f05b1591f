"""
From a message on the queue to a served certificate, across containers.
"""

from __future__ import annotations

import json
import re

from tests.containers.certification import ContainedPebble
from tests.containers.core import ContainedCore
from tests.containers.project import PAUSE_SECONDS, WORKER, Project
from tests.servers.worker import wait_until

LIFETIME_SECONDS = 40
#: The timeout of a renewal. Pebble suggests any time of the lifetime, and Traefik needs time to read the
#: file.
UNTIL_A_CERTIFICATE_IS_RENEWED_SECONDS = LIFETIME_SECONDS + 60

STATUS = ("certworker", "status", "--json", "nowhere.internal")


class TestTheMainJob:
    def test_a_message_becomes_a_served_certificate(self, project: Project, pebble: ContainedPebble) -> None:
        """
        Traefik routes the challenge to the worker, and serves the new certificate. The log has each step.
        """
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        project.request("shop.internal")
        issued = project.wait_for_line("shop.internal: certificate issued")
        story = [line for line in project.logs().splitlines() if " shop.internal: " in line]

        assert project.visit("shop.internal") != project.visit("main.internal")
        assert 5 <= len(story) <= 8
        assert "request received" in story[0]
        assert "next_check=20" in issued
        assert all(" INFO " in line for line in project.logs().splitlines())
        assert 2 == pebble.orders()

    def test_requests_of_php_become_served_certificates(
        self, project: Project, pebble: ContainedPebble, core: ContainedCore
    ) -> None:
        """
        A message of Appwrite and a job in the wire format lead to served certificates.
        """
        pebble.start()
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        core.send_messages("shop.internal")
        core.enqueue_jobs("one.internal")
        names = ("main.internal", "shop.internal", "one.internal")
        for name in names:
            project.wait_for_line(f"{name}: certificate issued")

        assert len({project.visit(name) for name in names}) == len(names) == pebble.orders()
        assert "1" == project.redis("GET", "utopia-queue.stats.v1-certificates.success").strip()
        assert "0" == project.redis("LLEN", "utopia-queue.processing.v1-certificates").strip()

    def test_a_name_without_a_server_is_explained_in_log_and_status(
        self, project: Project, pebble: ContainedPebble
    ) -> None:
        """
        The last log line and the status have the code, the cause and the remedy.
        """
        pebble.start()
        project.up()
        project.request("nowhere.internal")
        message = project.wait_for_line("nowhere.internal: certificate not issued:")

        assert re.search(r"\[[a-z0-9]+\.[a-z0-9_.]+\] ", message)
        assert "nowhere.internal" in message.partition("] ")[2]
        assert json.loads(project.attempt("exec", "--no-TTY", WORKER, *STATUS).stdout)["remedy"] in message

    def test_a_certificate_is_renewed_automatically(self, project: Project, pebble: ContainedPebble) -> None:
        """
        The worker renews a certificate without a request or a restart, and Traefik serves the new one.
        """
        pebble.start(lifetime_seconds=LIFETIME_SECONDS)
        project.up()
        project.wait_for_line("main.internal: certificate issued")
        first = project.visit("main.internal")

        wait_until(
            lambda: project.visit("main.internal") != first or None,
            lambda: f"Traefik still shows the first certificate:\n{project.logs()}",
            UNTIL_A_CERTIFICATE_IS_RENEWED_SECONDS,
            pause_seconds=PAUSE_SECONDS,
        )
