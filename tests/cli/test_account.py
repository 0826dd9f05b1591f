"""
The account from a shell.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.worker import WorkerProcess

NAME = "main.localhost"


def shown(worker: WorkerProcess) -> dict[str, str]:
    """
    What `certworker account show` says.
    """
    ended = worker.command("account", "show")
    assert 0 == ended.returncode, ended.stderr
    return dict(re.split(r"\s+", line, maxsplit=1) for line in ended.stdout.splitlines())


class TestAccount:
    def test_it_is_shown_changed_and_ended(
        self, worker: WorkerProcess, app_authority: FaultyAuthority
    ) -> None:
        """
        Beside a worker that is at work with it.
        """
        worker.environment["_APP_EMAIL_CERTIFICATES"] = "ops@certworker.dev"
        worker.start()
        worker.wait_for_line(f"{NAME}.*certificate issued")

        before = shown(worker)
        assert ("valid", "mailto:ops@certworker.dev") == (before["status"], before["contact"])

        assert 0 == worker.command("account", "rotate-key").returncode
        after = shown(worker)
        assert before["account"] == after["account"]
        assert before["thumbprint"] != after["thumbprint"]
        assert 0 == worker.command("request", "--wait", "other.localhost").returncode

        ended = worker.command("account", "deactivate", "--yes")
        assert Path(ended.stdout.rpartition(" ")[2].strip()).exists()
        assert 0 == worker.command("request", "--wait", "third.localhost").returncode
        assert after["account"] != shown(worker)["account"]

    def test_it_is_not_ended_without_a_yes(self, worker: WorkerProcess) -> None:
        """
        There is no way back.
        """
        worker.start()
        worker.wait_for_line(f"{NAME}.*certificate issued")

        assert 1 == worker.command("account", "deactivate").returncode
        assert "valid" == shown(worker)["status"]

    def test_before_the_first_order_there_is_none(self, worker: WorkerProcess) -> None:
        """
        Looking makes none.
        """
        for command in (["show"], ["rotate-key"], ["deactivate", "--yes"]):
            ended = worker.command("account", *command)

            assert 1 == ended.returncode
            assert "no account" in ended.stderr

    def test_the_embedded_ca_has_accounts_too(self, worker: WorkerProcess) -> None:
        """
        It runs inside the worker; what it knows lies in the state directory.
        """
        worker.environment["CERTWORKER_AUTHORITY"] = "development"
        worker.start()
        worker.wait_for_line(f"{NAME}.*certificate issued")

        assert 0 == worker.command("account", "rotate-key").returncode
        assert 0 == worker.command("request", "--wait", "other.localhost").returncode
