"""
The doctor's report.
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
        pass  # The terminal reports that no program writes to it any more.
    os.close(terminal)
    process.wait()
    return seen.decode()


class TestDoctor:
    def test_a_healthy_machine_has_no_problem(self, worker: WorkerProcess) -> None:
        """
        The exit code is 0, and the last line has the counts.
        """
        worker.start()
        worker.wait_for_line("main.localhost: certificate issued")
        worker.wait_for_line("machine: all well")
        ended = worker.command("doctor")

        assert (0, "") == (ended.returncode, ended.stderr)
        assert "0 problems, 0 warnings." in ended.stdout
        assert "port 80" in ended.stdout

    def test_a_terminal_has_symbols_and_colours(self, worker: WorkerProcess) -> None:
        """
        Failures are red.
        """
        seen = on_a_terminal(worker)

        assert "✔" in seen
        assert "\x1b[" in seen
        assert "→ Start it" in seen

    @pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"LANG": "C"}])
    def test_a_plain_terminal_has_words(self, worker: WorkerProcess, environ: dict[str, str]) -> None:
        """
        Without colors or UTF-8 the marks are words.
        """
        seen = on_a_terminal(worker, **environ)

        assert "OK   " in seen
        assert "✔" not in seen

    def test_warnings_count_with_strict(self, worker: WorkerProcess) -> None:
        """
        A script can treat warnings as failures.
        """
        assert 0 == worker.command("doctor").returncode
        assert 1 == worker.command("doctor", "--strict").returncode

    def test_a_name_can_be_given(self, worker: WorkerProcess) -> None:
        """
        Only this name is checked.
        """
        ended = worker.command("doctor", "other.localhost")

        assert "\nother.localhost\n" in ended.stdout
        assert "main.localhost\n  " not in ended.stdout

    def test_failures_are_exit_code_2_and_plain_when_piped(self, worker: WorkerProcess) -> None:
        """
        A pipe gets no symbols and no colors.
        """
        worker.environment["_APP_REDIS_PORT"] = "1"
        ended = worker.command("doctor")

        assert 2 == ended.returncode
        assert "FAIL" in ended.stdout
        assert "\x1b" not in ended.stdout

    def test_json_has_one_finding_a_line(self, worker: WorkerProcess) -> None:
        """
        A program can collect the findings.
        """
        findings = [json.loads(line) for line in worker.command("doctor", "--json").stdout.splitlines()]

        assert {"well", "warn", "skipped"} == {finding["verdict"] for finding in findings}
        assert ["worker"] == [each["subject"] for each in findings if each["verdict"] == "warn"]


class TestReport:
    def test_the_file_is_written_beside_the_findings(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        The exit code is that of the findings; standard output stays as it is.
        """
        file = tmp_path / "report.json"
        ended = worker.command("doctor", "--json", "--report", str(file))
        shown = [json.loads(line) for line in ended.stdout.splitlines()]

        assert f"Wrote {file}." in ended.stderr
        # The file goes to the maintainers, who need no link.
        for finding in shown:
            finding.pop("docs")
        assert shown == json.loads(file.read_text())["findings"]

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_it_may_go_to_the_standard_output_alone(self, worker: WorkerProcess, options: list[str]) -> None:
        """
        A container may have a read-only file system.
        """
        ended = worker.command("doctor", *options, "--report", "-")

        assert {"versions", "settings", "findings", "redis"} <= json.loads(ended.stdout).keys()

    def test_an_unwritable_path_is_an_error(self, worker: WorkerProcess) -> None:
        """
        The error is one line.
        """
        ended = worker.command("doctor", "--report", "/no/such/directory/report.json")

        assert 1 == ended.returncode
        assert "Traceback" not in ended.stderr
        assert "/no/such/directory/report.json" in ended.stderr

    def test_the_commands_of_the_guide_run(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        They run as written, except for the directory.
        """
        blocks = re.findall(r"^```sh.*?\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
        commands = re.findall(r"^certworker (.*)$", "\n".join(blocks), re.M)
        assert commands
        for command in commands:
            words = command.replace("certworker-report.json", str(tmp_path / "report.json")).split()
            ended = worker.command(*words)
            assert "Usage:" not in ended.stderr

        assert json.loads((tmp_path / "report.json").read_text())["versions"]
