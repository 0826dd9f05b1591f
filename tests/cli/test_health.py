"""
The container's health check.
"""

from __future__ import annotations

from tests.servers.worker import WorkerProcess


class TestHealth:
    def test_no_worker_is_not_well(self, worker: WorkerProcess) -> None:
        """
        And it says where it asked.
        """
        ended = worker.command("health")

        assert 1 == ended.returncode
        assert str(worker.http_port) in ended.stderr

    def test_a_running_worker_is_well(self, worker: WorkerProcess) -> None:
        """
        Redis answers, the scheduler lives.
        """
        worker.start()
        worker.wait_for_line("ready")

        assert 0 == worker.command("health").returncode
