"""
The README is the product's face: its tables are true, its links lead somewhere, its commands run.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from certworker.cli import COMMANDS, cli
from certworker.development.authority import DevelopmentAuthority
from certworker.errors.reach import HttpNotFound
from certworker.errors.zones import WrongAddress
from tests import readme
from tests.houses import environment
from tests.servers.development import development_authority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess

#: Commands whose example speaks of a certificate that is there.
NEEDS_A_CERTIFICATE = {"revoke", "explain"}

TEXT = readme.README.read_text()


def blocks(language: str) -> list[str]:
    """
    The fenced blocks of *language*.
    """
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


class TestTables:
    def test_settings_and_failures_are_those_of_the_code(self) -> None:
        """
        `make readme` writes them; whoever forgets it is reminded here.
        """
        for page in (readme.README, readme.RENEWAL):
            assert readme.renewed(page.read_text()) == page.read_text()

    def test_the_tables_are_there(self) -> None:
        """
        A page whose markers were removed would be compared with itself.
        """
        assert readme.failures() in TEXT
        assert readme.settings() in TEXT
        assert readme.retries() in readme.RENEWAL.read_text()

    def test_a_failure_that_only_a_check_finds_has_the_pauses_of_a_check(self) -> None:
        """
        The CA is not asked, so its patience does not count.
        """
        assert readme.tried_again(WrongAddress) == "after 1, 5, 10, 30 minutes, then hourly, then daily"
        assert readme.tried_again(HttpNotFound).startswith("after 1, 10, 100 minutes, then daily; if a check")

    def test_each_command_is_in_the_table(self) -> None:
        """
        A command that nobody finds is none.
        """
        assert [] == [name for name in COMMANDS if f"| `certworker {name}" not in TEXT]


class TestLinks:
    def test_each_local_link_leads_to_a_file(self) -> None:
        """
        A dead link is a broken promise.
        """
        targets = re.findall(r"\]\((?!https?://)([^)#]+)", TEXT)

        assert targets
        assert [] == [target for target in targets if not (readme.ROOT / target).exists()]


class TestPython:
    @pytest.mark.parametrize("block", blocks("python"))
    def test_python_examples_are_python_that_imports_what_exists(self, block: str) -> None:
        """
        Whoever copies it wants it to work.
        """
        imports = [line for line in block.splitlines() if line.startswith(("from ", "import "))]

        ast.parse(block)
        exec("\n".join(imports), {})  # noqa: S102 (our own README)


class TestCommands:
    def test_each_block_that_says_run_runs(self, tmp_path: Path, redis_server: RedisServer) -> None:
        """
        Word for word, beside a worker.
        """
        assert blocks("sh run")
        for block in blocks("sh run"):
            run(block, tmp_path, redis_server)

    @pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("work", "demo")])
    def test_the_example_in_each_help_runs(
        self, name: str, tmp_path: Path, redis_server: RedisServer
    ) -> None:
        """
        `--help` teaches by one example; `work` and `demo` have tests of their own.
        """
        before = "certworker request --wait api.example.org\n" if name in NEEDS_A_CERTIFICATE else ""
        example = (before + example_of(name)).replace("api.example.org", "api.localhost")
        run(example, tmp_path, redis_server)

    def test_each_help_has_one_example(self) -> None:
        """
        An example says more than ten options.
        """
        assert [] == [name for name in COMMANDS if "certworker" not in example_of(name)]


def example_of(name: str) -> str:
    """
    The example in the help of the command *name*.
    """
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help is not None
    return command.help.partition("Example:\n")[2].strip().splitlines()[0]


def run(block: str, place: Path, server: RedisServer) -> None:
    """
    Run the shell commands in *block* beside a worker with a development CA.
    """
    http_port = free_port()
    with server.client() as connection, development_authority(place, http01_port=http_port) as authority:
        connection.flushall()
        with WorkerProcess(variables(place, server, authority, http_port), place / "log") as worker:
            worker.wait_for_line("main.localhost: ")
            paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
            ended = subprocess.run(
                ["sh", "-e", "-c", block],
                env={**worker.environment, "PATH": os.pathsep.join(paths)},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
    assert 0 == ended.returncode, ended.stdout + ended.stderr


def variables(
    place: Path, server: RedisServer, authority: DevelopmentAuthority, http_port: int
) -> dict[str, str]:
    """
    The settings of that worker.
    """
    return environment(
        place,
        authority.directory_url,
        http_port,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(server.port),
        _APP_DOMAIN="main.localhost",
    )
