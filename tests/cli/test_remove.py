"""
Taking names out of service from a shell.
"""

from __future__ import annotations

from pathlib import Path

from redis import Redis

from certworker.worker.producer import queue_length
from tests.servers.worker import WorkerProcess

NAME = "shop.localhost"


class TestRemove:
    def test_the_worker_does_it_and_the_command_waits(self, worker: WorkerProcess) -> None:
        """
        It is out of the proxy when the command returns, and unknown afterwards.
        """
        worker.environment["_APP_DOMAIN"] = NAME
        config = Path(worker.environment["CERTWORKER_CONFIG_DIR"])
        worker.start()
        worker.wait_for_line(f"{NAME}.*certificate issued")
        ended = worker.command("remove", "--wait", NAME)

        assert (0, f"{NAME}: removed\n") == (ended.returncode, ended.stdout)
        assert not (config / f"{NAME}.yml").exists()
        assert 1 == worker.command("status", NAME).returncode
        assert f"{NAME}: unknown\n" == worker.command("remove", "--wait", NAME).stdout

    def test_a_file_of_names_is_a_job_each(
        self, worker: WorkerProcess, connection: Redis, tmp_path: Path
    ) -> None:
        """
        A tenant with many names has left; one that cannot go now does not hold up the others.
        """
        (tmp_path / "names").write_text("a.localhost\nb.localhost\n")
        ended = worker.command("remove", "--file", str(tmp_path / "names"))

        assert 0 == ended.returncode
        assert 2 == queue_length(connection)
