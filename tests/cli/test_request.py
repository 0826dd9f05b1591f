"""
Asking for certificates from a shell.
"""

from __future__ import annotations

from pathlib import Path

from redis import Redis

from certworker.worker.producer import queue_length
from tests.servers.worker import WorkerProcess


class TestRequest:
    def test_without_wait_it_only_queues(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        The worker may be on another machine, or not there yet.
        """
        ended = worker.command("request", "a.localhost", "b.localhost")

        assert 0 == ended.returncode
        assert 2 == queue_length(connection)
        assert "certworker status a.localhost" in ended.stdout

    def test_together_means_one_certificate(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        One job for all names.
        """
        worker.command("request", "--together", "a.localhost", "b.localhost")

        assert 1 == queue_length(connection)

    def test_a_file_may_have_thousands_of_names(
        self, worker: WorkerProcess, connection: Redis, tmp_path: Path
    ) -> None:
        """
        How a host that moves in asks for its customers.
        """
        (tmp_path / "names").write_text("".join(f"shop{number}.localhost\n" for number in range(3_000)))
        ended = worker.command("request", "--file", str(tmp_path / "names"))

        assert 0 == ended.returncode
        assert 3_000 == queue_length(connection)

    def test_more_names_than_a_certificate_takes_are_refused(
        self, worker: WorkerProcess, connection: Redis, tmp_path: Path
    ) -> None:
        """
        Whoever packs them finds out before the job fails.
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
        Whoever typed it is still there.
        """
        ended = worker.command("request", "not a name")

        assert 1 == ended.returncode
        assert "[name.invalid_char]" in ended.stderr
        assert 0 == queue_length(connection)

    def test_waiting_ends_when_its_time_is_over(self, worker: WorkerProcess) -> None:
        """
        Without a worker nobody ever answers.
        """
        ended = worker.command("request", "--wait", "--timeout", "1", "a.localhost")

        assert 1 == ended.returncode
        assert "not ended after 1 s" in ended.stdout

    def test_the_time_is_for_all_names_together(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        Forty names that nobody serves would take 40 seconds, and the command may take 30.
        """
        (tmp_path / "names").write_text("".join(f"shop{number}.localhost\n" for number in range(40)))
        for command in ("request", "remove"):
            ended = worker.command(command, "--wait", "--timeout", "1", "--file", str(tmp_path / "names"))

            assert 1 == ended.returncode
            assert 40 == ended.stdout.count("not ended after 1 s")
