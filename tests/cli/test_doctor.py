"""
Tests of `certworker doctor`.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.worker import WorkerProcess

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "troubleshooting.md"


def on_a_terminal(worker: WorkerProcess, **environ: str) -> str:
    """
    Return the output of `certworker doctor` on a terminal.
    """
    terminal, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "certworker", "doctor"],
        env={
            **worker.environment,
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "LC_ALL": "",
            "NO_COLOR": "",
            **environ,
        },
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    seen = b""
    try:
        while part := os.read(terminal, 65536):
            seen += part
    except OSError:
        pass  # Linux reports EIO once the last program has closed the terminal.
    os.close(terminal)
    process.wait()
    return seen.decode()


class TestDoctor:
    def test_a_healthy_machine_has_no_problem(self, worker: WorkerProcess) -> None:
        """
        The doctor reports no problem, and its exit code is 0.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        worker.wait_for_line("machine: no problem found")
        ended = worker.command("doctor")

        assert (0, "") == (ended.returncode, ended.stderr)
        assert "0 problems, 0 warnings." in ended.stdout
        assert "port 80" in ended.stdout

    def test_a_terminal_has_symbols_and_colors(self, worker: WorkerProcess) -> None:
        """
        On a terminal, the report has symbols, colors and remedies.
        """
        seen = on_a_terminal(worker)

        assert "✔" in seen
        assert "\x1b[" in seen
        assert "→ Start a worker" in seen

    @pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"LANG": "C"}])
    def test_a_plain_terminal_has_words(self, worker: WorkerProcess, environ: dict[str, str]) -> None:
        """
        Without colors or UTF-8 the report has words instead of symbols.
        """
        seen = on_a_terminal(worker, **environ)

        assert "OK   " in seen
        assert "✔" not in seen

    def test_warnings_are_failures_with_strict(self, worker: WorkerProcess) -> None:
        """
        With `--strict`, warnings lead to exit code 1.
        """
        assert 0 == worker.command("doctor").returncode
        assert 1 == worker.command("doctor", "--strict").returncode

    def test_a_named_domain_is_checked_alone(self, worker: WorkerProcess) -> None:
        """
        With a name, the doctor checks only that name.
        """
        ended = worker.command("doctor", "other.localhost")

        assert "\nother.localhost\n" in ended.stdout
        assert "main.localhost\n  " not in ended.stdout

    def test_failures_end_with_exit_code_2_and_a_pipe_gets_plain_text(self, worker: WorkerProcess) -> None:
        """
        A failure ends with exit code 2, and a pipe gets no symbols and no colors.
        """
        worker.environment["_APP_REDIS_PORT"] = "1"
        ended = worker.command("doctor")

        assert 2 == ended.returncode
        assert "FAIL" in ended.stdout
        assert "\x1b" not in ended.stdout

    def test_json_has_one_finding_per_line(self, worker: WorkerProcess) -> None:
        """
        Each line of the JSON output is one finding.
        """
        findings = [json.loads(line) for line in worker.command("doctor", "--json").stdout.splitlines()]

        assert {"well", "warn", "skipped"} == {finding["verdict"] for finding in findings}
        assert ["worker"] == [each["subject"] for each in findings if each["verdict"] == "warn"]


class TestReport:
    def test_the_report_is_written_in_addition_to_the_findings(
        self, worker: WorkerProcess, tmp_path: Path
    ) -> None:
        """
        The command prints the same findings as without `--report`, and writes them to the file.
        """
        file = tmp_path / "report.json"
        ended = worker.command("doctor", "--json", "--report", str(file))
        shown = [json.loads(line) for line in ended.stdout.splitlines()]

        assert f"Wrote {file}." in ended.stderr
        # The report has no links, because the maintainers read it.
        for finding in shown:
            finding.pop("docs")
        assert shown == json.loads(file.read_text())["findings"]

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_the_report_alone_can_go_to_standard_output(
        self, worker: WorkerProcess, options: list[str]
    ) -> None:
        """
        With `--report -` the report is the only output, for containers with a read-only file system.
        """
        ended = worker.command("doctor", *options, "--report", "-")

        assert {"versions", "settings", "findings", "redis"} <= json.loads(ended.stdout).keys()

    def test_an_unwritable_path_is_an_error(self, worker: WorkerProcess) -> None:
        """
        A report that cannot be written is an error with the path, without a traceback.
        """
        ended = worker.command("doctor", "--report", "/no/such/directory/report.json")

        assert 1 == ended.returncode
        assert "Traceback" not in ended.stderr
        assert "/no/such/directory/report.json" in ended.stderr

    def test_the_commands_of_the_guide_are_valid(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        Each command of the guide is valid usage, and the report is written.
        """
        blocks = re.findall(r"^```sh.*?\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
        commands = re.findall(r"^certworker (.*)$", "\n".join(blocks), re.M)
        assert commands
        for command in commands:
            words = command.replace("certworker-report.json", str(tmp_path / "report.json")).split()
            ended = worker.command(*words)
            assert "Usage:" not in ended.stderr

        assert json.loads((tmp_path / "report.json").read_text())["versions"]
