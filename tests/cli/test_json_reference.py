"""
docs/reference/json-output.md: its tables have the fields that the commands print, and its examples run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.servers.worker import WorkerProcess

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json-output.md"


def fields(heading: str) -> set[str]:
    """
    Return the fields in the tables of the section *heading*.
    """
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    return {field for row in rows for field in re.findall(r"`(\w+)`", row)}


def printed(worker: WorkerProcess, *arguments: str) -> set[str]:
    """
    Return the fields of the first object that the command prints.
    """
    return set(json.loads(worker.command(*arguments).stdout.splitlines()[0]))


class TestPage:
    def test_the_fields_of_requests(self, worker: WorkerProcess) -> None:
        """
        Each field is documented, and each documented field is there.
        """
        asked = printed(worker, "request", "--json", "a.localhost")
        ended = printed(worker, "remove", "--json", "--wait", "--timeout", "1", "a.localhost")

        assert asked | ended == fields("`certworker request` and `certworker remove`")

    def test_the_fields_of_states(self, worker: WorkerProcess) -> None:
        """
        Of a name, of the summary, and of the progress.
        """
        worker.command("request", "a.localhost")

        assert printed(worker, "status", "--json", "a.localhost") == fields("`certworker status`")
        assert printed(worker, "status", "--json", "--summary") == fields("`certworker status --summary`")
        worker.start()
        worker.wait_for_line("a.localhost: certificate issued")
        assert printed(worker, "status", "--json", "--watch") == fields("`certworker status --watch`")
        assert printed(worker, "explain", "--json", "a.localhost") == fields("`certworker explain`")
        assert printed(worker, "explain", "--json", "http.404") == fields("`certworker explain CODE`")

    def test_the_fields_of_the_account_and_of_what_changes_a_certificate(self, worker: WorkerProcess) -> None:
        """
        Each of these commands prints one object.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        account = fields("`certworker account`")

        assert printed(worker, "account", "show", "--json") == account
        assert printed(worker, "account", "rotate-key", "--json") == account
        assert printed(worker, "revoke", "--json", "main.localhost") == fields("`certworker revoke`")
        assert printed(worker, "resume", "--json", "main.localhost") < fields("`certworker resume`")
        assert printed(worker, "account", "deactivate", "--yes", "--json") == account
        assert printed(worker, "health") < fields("`certworker health`")

    def test_the_examples_run(self, worker: WorkerProcess) -> None:
        """
        Word for word, beside a worker.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
        blocks = re.findall(r"^```sh run\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)

        assert blocks
        for block in blocks:
            ended = subprocess.run(
                ["sh", "-e", "-c", block],
                env={**worker.environment, "PATH": os.pathsep.join(paths)},
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert 0 == ended.returncode, ended.stdout + ended.stderr
            assert [] == [
                line for line in ended.stdout.splitlines() if not isinstance(json.loads(line), dict)
            ]
