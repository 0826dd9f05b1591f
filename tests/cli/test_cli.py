"""
The commands as a whole: help without waiting, errors without stack traces.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from certworker.cli import COMMANDS, cli
from tests.servers.worker import WorkerProcess


def all_commands(group: click.Group, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """
    Yield the words of each command, and of the commands in it.
    """
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*above, name)
        if isinstance(command := group.get_command(context, name), click.Group):
            yield from all_commands(command, (*above, name))


class TestHelp:
    def test_it_lists_every_command_and_imports_none(self) -> None:
        """
        The help does not wait for the import of cryptography.
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

    @pytest.mark.parametrize("path", list(all_commands(cli, ())), ids=" ".join)
    def test_each_command_has_examples_with_options_that_it_takes(self, path: tuple[str, ...]) -> None:
        """
        Also a command of a command has one: a person copies it.
        """
        text = CliRunner().invoke(cli, [*path, "--help"], terminal_width=200).output
        examples = [
            line.split() for line in text.partition("Example:\n")[2].partition("\n\n")[0].splitlines()
        ]
        command: click.Command = cli
        for name in path:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(cli), name) or cli
        parser = command.make_parser(click.Context(command))

        assert examples
        for example in examples:
            if not isinstance(command, click.Group):
                words = example[example.index("certworker") :]  # settings of this call may come first
                assert ["certworker", *path] == words[: len(path) + 1]
                parser.parse_args(words[len(path) + 1 :])

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

    @pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])
    def test_every_command_tells_all_wrong_settings_together(
        self, worker: WorkerProcess, command: str, tmp_path: Path
    ) -> None:
        """
        The output names the allowed values, without a traceback.
        """
        (tmp_path / "empty").touch()
        wrong = {
            "ALL_PROXY": "socks5h://127.0.0.1:1080",
            "CERTWORKER_CA_BUNDLE": str(tmp_path / "empty"),
            "CERTWORKER_LIMITS_FILE": str(tmp_path / "empty"),
            "CERTWORKER_STATE_DIR": str(tmp_path / "empty"),
            "CERTWORKER_NOTIFY_URL": "https://[2001:db8::a/",
            "CERTWORKER_REDIS_URL": "redis://a..b/",
            "_APP_SMTP_HOST": "x" * 64,
            "_APP_SYSTEM_EMAIL_NAME": "A%0AB",
        }
        worker.environment |= wrong
        arguments = {
            "account": ["show"],
            "notify": ["test"],
            "status": [],
            "doctor": [],
            "work": [],
            "health": [],
        }
        ended = worker.command(command, *arguments.get(command, ["shop.localhost"]))
        output = ended.stdout + ended.stderr

        assert 2 == ended.returncode
        assert [] == [name for name in wrong if f"{name} must be" not in output]
        assert "Traceback" not in output


class TestSuspiciousEnvironment:
    def test_the_worker_the_doctor_and_other_commands_warn_once(self, worker: WorkerProcess) -> None:
        """
        Each command shows the warning, and shows it once.
        """
        worker.environment |= {"_APP_ENV": "prod", "CERTWORKER_AUTHORTY": "letsencrypt"}
        expected = ("Did you mean production?", "Did you mean CERTWORKER_AUTHORITY?")
        worker.start()
        worker.wait_for_line("ready")
        doctor = worker.command("doctor").stdout
        asked, helped = worker.command("status"), worker.command("status", "--help")

        for text in expected:
            assert 1 == worker.log.count(text)
            assert 1 == doctor.count(text)
            assert 1 == asked.stderr.count(text)
            assert text not in asked.stdout + helped.stderr
