"""
Tests of all commands: their help is fast, and their errors have no traceback.
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
    Yield the words of each command in *group*, and of its subcommands.
    """
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*above, name)
        if isinstance(command := group.get_command(context, name), click.Group):
            yield from all_commands(command, (*above, name))


class TestHelp:
    def test_it_lists_every_command_and_imports_none(self) -> None:
        """
        The help lists all commands without importing a large library.
        """
        listing = (
            "import sys, certworker.cli as c; c.cli(['--help'], standalone_mode=False); print(*sys.modules)"
        )
        ended = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)

        assert all(f"  {name} " in ended.stdout for name in COMMANDS)
        assert not {"redis", "pydantic", "cryptography", "rq"} & set(ended.stdout.split())

    @pytest.mark.parametrize("name", COMMANDS)
    def test_the_list_and_the_help_of_a_command_agree(self, name: str) -> None:
        """
        The list and the help of a command begin with the same word.

        The list is written by hand, so that `--help` needs no import.
        """
        shown = CliRunner().invoke(cli, [name, "--help"])

        assert 0 == shown.exit_code
        assert COMMANDS[name].split()[0] in shown.output

    @pytest.mark.parametrize("path", list(all_commands(cli, ())), ids=" ".join)
    def test_each_command_has_examples_with_valid_options(self, path: tuple[str, ...]) -> None:
        """
        The help of each command has examples, and the command accepts their options.
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
                words = example[example.index("certworker") :]  # variables may precede the command
                assert ["certworker", *path] == words[: len(path) + 1]
                parser.parse_args(words[len(path) + 1 :])

    def test_an_unknown_command_is_a_usage_error(self) -> None:
        """
        An unknown command ends with exit code 2.
        """
        assert 2 == CliRunner().invoke(cli, ["certify"]).exit_code


class TestErrors:
    def test_an_unreachable_redis_is_reported_without_a_traceback(self, worker: WorkerProcess) -> None:
        """
        The message for an unreachable Redis has the code, and the exit code is 1.
        """
        worker.environment["_APP_REDIS_PORT"] = "1"
        ended = worker.command("status")

        assert 1 == ended.returncode
        assert ended.stderr.startswith("certworker: [redis.unreachable] ")
        assert "Traceback" not in ended.stderr

    def test_an_invalid_setting_ends_with_exit_code_2(self, worker: WorkerProcess) -> None:
        """
        The command names the invalid setting, and ends with exit code 2.
        """
        worker.environment["CERTWORKER_LOG"] = "loud"
        ended = worker.command("status")

        assert 2 == ended.returncode
        assert "CERTWORKER_LOG must be" in ended.stderr

    @pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("demo", "replication")])
    def test_every_command_reports_all_invalid_settings_together(
        self, worker: WorkerProcess, command: str, tmp_path: Path
    ) -> None:
        """
        The output names each invalid setting, without a traceback.
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
            "dns": ["test", "shop.localhost"],
            "import": ["shop.localhost", "--cert", "cert.pem", "--key", "key.pem"],
            "status": [],
            "doctor": [],
            "work": [],
            "health": [],
            "web": [],
            "mirror": [],
            "token": ["list"],
        }
        ended = worker.command(command, *arguments.get(command, ["shop.localhost"]))
        output = ended.stdout + ended.stderr

        assert 2 == ended.returncode
        assert [] == [name for name in wrong if f"{name} must be" not in output]
        assert "Traceback" not in output


class TestSuspiciousEnvironment:
    def test_the_worker_the_doctor_and_other_commands_warn_once(self, worker: WorkerProcess) -> None:
        """
        Each command shows each warning once, and the help shows none.
        """
        worker.environment |= {"_APP_ENV": "prod", "CERTWORKER_AUTHORTY": "letsencrypt"}
        expected = ("Did you mean production?", "Did you mean CERTWORKER_AUTHORITY?")
        worker.start()
        worker.wait_for_line("ready")
        doctor = worker.command("doctor").stdout
        status, usage = worker.command("status"), worker.command("status", "--help")

        for text in expected:
            assert 1 == worker.log.count(text)
            assert 1 == doctor.count(text)
            assert 1 == status.stderr.count(text)
            assert text not in status.stdout + usage.stderr
