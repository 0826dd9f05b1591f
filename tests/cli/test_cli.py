"""
The commands as a whole: help without waiting, errors without stack traces.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from certworker.cli import COMMANDS, cli
from tests.servers.worker import WorkerProcess


class TestHelp:
    def test_it_lists_every_command_and_imports_none(self) -> None:
        """
        Whoever asks for help should not wait for cryptography to load.
        """
        listing = (
            "import sys, certworker.cli as c; c.cli(['--help'], standalone_mode=False); print(*sys.modules)"
        )
        ended = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)

        assert all(f"  {name} " in ended.stdout for name in COMMANDS)
        assert not {"redis", "pydantic", "cryptography", "rq"} & set(ended.stdout.split())

    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_command_has_a_help_that_says_what_the_list_says(self, name: str) -> None:
        """
        The list is written by hand, so that it needs no import.
        """
        shown = CliRunner().invoke(cli, [name, "--help"])

        assert 0 == shown.exit_code
        assert COMMANDS[name].split()[0] in shown.output

    def test_an_unknown_command_is_wrong_usage(self) -> None:
        """
        Exit code 2, as everywhere.
        """
        assert 2 == CliRunner().invoke(cli, ["certify"]).exit_code


class TestErrors:
    def test_a_redis_that_is_away_is_a_sentence(self, worker: WorkerProcess) -> None:
        """
        With a code, a remedy, and exit code 1.
        """
        worker.environment["_APP_REDIS_PORT"] = "1"
        ended = worker.command("status")

        assert 1 == ended.returncode
        assert ended.stderr.startswith("certworker: [redis.unreachable] ")
        assert "Traceback" not in ended.stderr

    def test_wrong_settings_are_exit_code_2(self, worker: WorkerProcess) -> None:
        """
        No attempt to go on with half of them.
        """
        worker.environment["CERTWORKER_LOG"] = "loud"
        ended = worker.command("status")

        assert 2 == ended.returncode
        assert "CERTWORKER_LOG must be" in ended.stderr
