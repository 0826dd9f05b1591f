"""
Tests that docs/reference/json-output.md lists the fields that the commands print, and that its examples run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.certificate_builder import Wanted, key_pem
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
        The page documents exactly the fields that `request` and `remove` print.
        """
        requested = printed(worker, "request", "--json", "a.localhost")
        removed = printed(worker, "remove", "--json", "--wait", "--timeout", "1", "a.localhost")

        assert requested | removed == fields("`certworker request` and `certworker remove`")

    def test_the_fields_of_imports(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        The page documents exactly the fields that `import` prints.
        """
        signed, file = Wanted(["a.localhost"]).sign(), tmp_path / "own.pem"
        file.write_bytes(signed.pem + key_pem(signed.key))
        files = ("--cert", str(file), "--key", str(file))

        assert printed(worker, "import", "--json", "a.localhost", *files) == fields("`certworker import`")

    def test_the_fields_of_states(self, worker: WorkerProcess) -> None:
        """
        The page documents exactly the fields that `status` and `explain` print.
        """
        worker.command("request", "a.localhost")

        assert printed(worker, "status", "--json", "a.localhost") == fields("`certworker status`")
        key = worker.command("replication", "key").stdout.strip()
        worker.environment["CERTWORKER_REPLICATION_KEY"] = key
        assert printed(worker, "status", "--json", "--summary") == fields("`certworker status --summary`")
        worker.start()
        worker.wait_for_line("a.localhost: certificate issued")
        assert printed(worker, "status", "--json", "--watch") == fields("`certworker status --watch`")
        assert printed(worker, "status", "--json", "--nodes") == fields("`certworker status --nodes`")
        worker.explained("certificate issued", "a.localhost")
        assert printed(worker, "explain", "--json", "a.localhost") == fields("`certworker explain`")
        timings = ("explain", "--timings", "--json", "a.localhost")
        (attempt,) = json.loads(worker.command(*timings).stdout)["attempts"]
        assert printed(worker, *timings) | set(attempt) == fields("`certworker explain --timings`")
        assert printed(worker, "explain", "--json", "http.404") == fields("`certworker explain CODE`")

    def test_the_fields_of_accounts_revocations_and_health(self, worker: WorkerProcess) -> None:
        """
        The page documents the fields that `account`, `revoke`, `resume` and `health` print.
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
        Each example of the page runs as written, and each line of its output is a JSON object.
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
