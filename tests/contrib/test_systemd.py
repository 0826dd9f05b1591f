"""
The systemd unit for machines without Docker.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from certworker.worker.worker import STOP_DEADLINE_SECONDS

UNIT = Path(__file__).parents[2] / "contrib" / "systemd" / "certworker.service"

#: systemd's own scale from 0 (confined) to 10 (may do anything).
MOST_EXPOSED = 2.5


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """
    The unit with a program and an environment file that exist on this machine.
    """
    text = UNIT.read_text().replace("/usr/local/bin/certworker", "/bin/true")
    installed = tmp_path / UNIT.name
    installed.write_text(text.replace("/etc/certworker/env", "/dev/null"))
    return installed


@pytest.fixture
def settings() -> RawConfigParser:
    """
    What the unit sets.
    """
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names have capitals
    parser.read_string(UNIT.read_text())
    return parser


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """
    Run systemd-analyze.
    """
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing; install it: apt-get install systemd"
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


class TestUnit:
    def test_systemd_accepts_every_line(self, unit: Path) -> None:
        """
        systemd ignores a misspelled setting; its own check reports it.
        """
        checked = analyze("verify", "--man=no", str(unit))

        assert [] == [line for line in checked.stderr.splitlines() if unit.name in line]
        assert 0 == checked.returncode

    def test_the_worker_is_confined(self, unit: Path) -> None:
        """
        systemd rates what the service may do beyond its work.
        """
        rated = analyze("security", "--offline=yes", "--json=short", "--no-pager", str(unit))
        verdict = analyze(
            "security", "--offline=yes", f"--threshold={round(MOST_EXPOSED * 10)}", "--no-pager", str(unit)
        )

        assert json.loads(rated.stdout), rated.stderr
        assert 0 == verdict.returncode, verdict.stdout

    def test_it_waits_for_running_jobs_when_it_stops(self, settings: RawConfigParser) -> None:
        """
        systemd kills a service that has not ended in time.
        """
        assert int(settings["Service"]["TimeoutStopSec"]) > STOP_DEADLINE_SECONDS

    def test_wrong_settings_are_not_tried_again(self, settings: RawConfigParser) -> None:
        """
        Exit code 2 means that a setting is wrong.
        """
        assert "2" == settings["Service"]["RestartPreventExitStatus"]
