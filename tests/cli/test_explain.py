"""
What happened to a name, for people and for machines.
"""

from __future__ import annotations

import json

from tests.servers.worker import WorkerProcess


class TestExplain:
    def test_the_remedy_is_on_top_of_the_timeline(self, worker: WorkerProcess) -> None:
        """
        Whoever asks wants to know what to do, then why.
        """
        worker.start()
        worker.command("request", "--wait", "nowhere.invalid")
        shown = worker.command("explain", "nowhere.invalid").stdout.splitlines()
        told = json.loads(worker.command("explain", "nowhere.invalid", "--json").stdout)

        assert shown[1] == f"→ {told['remedy']}"
        assert "request received" in told["events"][0]["text"]
        assert "certificate not issued:" in told["events"][-1]["text"]

    def test_a_success_has_a_story_too(self, worker: WorkerProcess) -> None:
        """
        Which steps it took, and when.
        """
        worker.start()
        worker.command("request", "--wait", "shop.localhost")
        shown = worker.command("explain", "shop.localhost").stdout

        assert "in service, valid until" in shown
        assert "ownership confirmed" in shown

    def test_an_unknown_name_is_exit_code_1(self, worker: WorkerProcess) -> None:
        """
        And says how to make it known.
        """
        ended = worker.command("explain", "unknown.localhost")

        assert 1 == ended.returncode
        assert "certworker request unknown.localhost" in ended.stderr
