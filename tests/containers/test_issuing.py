"""
From a message on the queue to the padlock, across containers.
"""

from __future__ import annotations

from tests.containers.certification import ContainedPebble
from tests.containers.project import Project


class TestTheFirstCertificate:
    def test_a_message_becomes_a_padlock(self, project: Project, pebble: ContainedPebble) -> None:
        """
        The CA asks at port 80, Traefik leads it to the worker and shows the outcome: the main job.
        """
        pebble.start()
        project.up()
        project.request("shop.internal")
        project.wait_for_line("shop.internal: DONE")

        assert project.visit("shop.internal") != project.visit("main.internal")
