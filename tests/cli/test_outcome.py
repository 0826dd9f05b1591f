"""
Tests of the output of commands that queue requests.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from redis import Redis

from certworker.cli.outcome import ordinal
from tests.cli.test_output import shown
from tests.servers.worker import WorkerProcess


def names_file(directory: Path, count: int) -> str:
    """
    Write a file of *count* names, and return its path.
    """
    file = directory / "names"
    file.write_text("".join(f"shop{number}.localhost\n" for number in range(count)))
    return str(file)


class TestShowRequested:
    def test_the_position_and_a_missing_worker_are_reported(
        self, worker: WorkerProcess, connection: Redis
    ) -> None:
        """
        The command prints the position in the queue, and warns if no worker is running.
        """
        worker.command("request", "a.localhost", "b.localhost")
        ended = worker.command("request", "c.localhost")

        assert "c.localhost: requested, 3rd in the queue; see its state: certworker status c.localhost\n" == (
            ended.stdout
        )
        assert ended.stderr.startswith("No worker is running. ")

    def test_many_requests_are_one_line(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        Many requests are reported in one line.
        """
        for command in ("request", "remove"):
            ended = worker.command(command, "--file", names_file(tmp_path, 199))

            assert ["199 requests were put on the queue; see their progress: certworker status --watch"] == (
                ended.stdout.splitlines()
            )

    def test_each_request_is_a_json_object(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        The JSON object has the job, its position, and the number of workers.
        """
        ended = worker.command("request", "--json", "--together", "a.localhost", "b.localhost")
        (line,) = ended.stdout.splitlines()
        requested = json.loads(line)

        assert connection.exists(f"rq:job:{requested.pop('job')}")
        assert {
            "name": "a.localhost",
            "names": ["a.localhost", "b.localhost"],
            "state": "requested",
            "position": 1,
            "workers": 0,
        } == requested

    def test_suspended_workers_are_reported(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        The commands warn that suspended workers start no job.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        connection.set("rq:suspended", 1)
        requested = worker.command("request", "a.localhost")
        status = worker.command("status", "a.localhost")

        for ended in (requested, status):
            assert 0 == ended.returncode
            assert ended.stderr.startswith("All workers are suspended and start no job. ")


class TestWaitFor:
    def test_a_missing_worker_is_reported_before_the_wait(self, worker: WorkerProcess) -> None:
        """
        With `--wait` the command warns before it waits, not after the timeout.
        """
        ended = worker.command("request", "--wait", "--timeout", "1", "a.localhost")

        assert 1 == ended.returncode
        assert ended.stderr.startswith("No worker is running. ")
        assert ended.stderr.rstrip().endswith("Waiting for up to 1 s.")

    def test_several_requests_end_with_a_summary(self, worker: WorkerProcess) -> None:
        """
        Each name has its line, and the last line has the counts.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        ended = worker.command("request", "--wait", "a.localhost", "main.localhost", "b.localhost")

        assert ["a.localhost: issued", "main.localhost: kept", "b.localhost: issued"] == (
            ended.stdout.splitlines()[:3]
        )
        assert "2 issued, 1 kept." == ended.stdout.splitlines()[-1]
        assert "" == ended.stderr

    def test_each_result_is_a_json_object(self, worker: WorkerProcess) -> None:
        """
        The JSON object has the state of a success, and the code of a failure.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        ended = worker.command("request", "--wait", "--json", "a.localhost", "nowhere.internal")
        issued, failed = map(json.loads, ended.stdout.splitlines())

        assert 1 == ended.returncode
        assert {"name": "a.localhost", "ok": True, "state": "issued", "code": ""}.items() <= issued.items()
        assert {"name": "nowhere.internal", "ok": False, "state": "failed"}.items() <= failed.items()
        assert failed["text"].startswith(f"[{failed['code']}] ")
        assert failed["code"]

    def test_a_terminal_shows_the_progress_of_many(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        A terminal shows the progress in one line, and only the summary remains.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        code, text = shown(worker, "request", "--wait", "--file", names_file(tmp_path, 40))

        assert 0 == code, text
        assert "40 of 40 done, 0 failed" in text
        assert text.rstrip().endswith("40 issued.")
        assert "shop1.localhost" not in text


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (1_022, "1,022nd")]
)
def test_ordinal(number: int, text: str) -> None:
    """
    The function returns the number with its ordinal ending.
    """
    assert text == ordinal(number)
