"""
The progress of many names.
"""

from __future__ import annotations

import json

from tests.cli.test_output import shown
from tests.servers.worker import WorkerProcess

NAMES = [f"shop{number}.localhost" for number in range(5)]


class TestWatchNames:
    def test_watch_ends_with_the_last_name(self, worker: WorkerProcess) -> None:
        """
        It counts what is in the queue, shows one line, and ends when nothing is left to wait for.
        """
        worker.command("request", *NAMES, "nowhere.internal")
        worker.start()
        _, text = shown(worker, "status", "--watch")
        ended = worker.command("status", "--watch")
        told = json.loads(worker.command("status", "--watch", "--json").stdout)

        assert text.rstrip().endswith("7 of 7 done, 1 failed.")
        assert "7 of 7 done, 1 failed.\n" == ended.stdout
        assert (7, 7, 1) == (told["names"], told["done"], told["failed"])
