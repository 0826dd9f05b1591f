"""
The systemd unit for machines without Docker.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from configparser import RawConfigParser
from pathlib import Path

import pytest

from certworker.settings import load
from certworker.worker.worker import STOP_DEADLINE_SECONDS

TOP = Path(__file__).parents[2]
UNIT = TOP / "contrib" / "systemd" / "certworker.service"
PAGE = TOP / "docs" / "getting-started" / "without-docker.md"

#: The highest exposure on systemd's scale from 0 (confined) to 10 (unrestricted).
MOST_EXPOSED = 2.5


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """
    Return the unit with a program and an environment file that exist on this machine.
    """
    text = UNIT.read_text().replace("/usr/local/bin/certworker", "/bin/true")
    installed = tmp_path / UNIT.name
    installed.write_text(text.replace("/etc/certworker/env", "/dev/null"))
    return installed


@pytest.fixture
def settings() -> RawConfigParser:
    """
    Return the settings of the unit.
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
        The check of systemd accepts each line. A running systemd ignores a misspelled setting.
        """
        checked = analyze("verify", "--man=no", str(unit))

        assert [] == [line for line in checked.stderr.splitlines() if unit.name in line]
        assert 0 == checked.returncode

    def test_the_manual_that_it_names_exists(self, unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The man page in the unit, which `systemctl help certworker` opens, exists.
        """
        (unit.parent / "man").mkdir()
        (unit.parent / "man" / "man1").symlink_to(TOP / "contrib" / "man")
        monkeypatch.setenv("MANPATH", str(unit.parent / "man"))

        assert "" == analyze("verify", "--man=yes", str(unit)).stderr
        monkeypatch.setenv("MANPATH", str(unit.parent))
        assert "man certworker(1)" in analyze("verify", "--man=yes", str(unit)).stderr

    def test_the_worker_is_confined(self, unit: Path) -> None:
        """
        systemd rates the exposure of the service below the limit.
        """
        rated = analyze("security", "--offline=yes", "--json=short", "--no-pager", str(unit))
        verdict = analyze(
            "security", "--offline=yes", f"--threshold={round(MOST_EXPOSED * 10)}", "--no-pager", str(unit)
        )

        assert json.loads(rated.stdout), rated.stderr
        assert 0 == verdict.returncode, verdict.stdout

    def test_it_waits_for_running_jobs_when_it_stops(self, settings: RawConfigParser) -> None:
        """
        The stop timeout of the unit is longer than that of the worker, because systemd kills a service after
        it.
        """
        assert int(settings["Service"]["TimeoutStopSec"]) > STOP_DEADLINE_SECONDS

    def test_the_service_does_not_restart_after_invalid_settings(self, settings: RawConfigParser) -> None:
        """
        systemd does not restart the service after exit code 2, which means an invalid setting.
        """
        assert "2" == settings["Service"]["RestartPreventExitStatus"]


class TestThePage:
    """
    The page docs/getting-started/without-docker.md.
    """

    TEXT = PAGE.read_text()

    def variables(self) -> str:
        """
        Return the file `env` of the page.
        """
        (text,) = re.findall(r"```ini\n(.*?)```", self.TEXT, re.DOTALL)
        return str(text)

    def test_it_installs_the_program_of_the_unit(self, settings: RawConfigParser) -> None:
        """
        The page uses the program, the user, the environment file and the directory of the unit.
        """
        service = settings["Service"]
        program = Path(service["ExecStart"].split()[0])

        assert f"sudo env PIPX_HOME=/opt/pipx PIPX_BIN_DIR={program.parent} PIPX_MAN_DIR=" in self.TEXT
        assert f"sudo env UV_TOOL_DIR=/opt/uv UV_TOOL_BIN_DIR={program.parent} uv tool install " in self.TEXT
        assert (
            f"useradd --system --home-dir /var/lib/{service['StateDirectory']} {service['User']}\n"
            in self.TEXT
        )
        assert f"-m {service['StateDirectoryMode']} -o {service['User']} -g {service['Group']} " in self.TEXT
        assert f"-g {service['Group']} env {service['EnvironmentFile']}\n" in self.TEXT

    def test_the_wheel_has_the_files_of_the_page(self) -> None:
        """
        The wheel has the unit and the route in the directory that the page names.
        """
        project = tomllib.loads((TOP / "pyproject.toml").read_text())
        patterns = project["tool"]["setuptools"]["data-files"]["share/certworker"]
        files = {path.name for pattern in patterns for path in TOP.glob(pattern)}

        assert {"certworker.service", "crt-list", "acme-challenge.yml"} == files
        assert [] == [name for name in files if f"`{name}`" not in self.TEXT]
        for directory in ("/opt/pipx/venvs/certworker", "/opt/uv/certworker"):
            assert f"`{directory}/share/certworker`" in self.TEXT

    def test_the_unit_can_write_its_directories(self, settings: RawConfigParser) -> None:
        """
        The file `env` is valid, and the page creates each of its directories where the unit can write.
        """
        loaded = load(dict(line.split("=", 1) for line in self.variables().splitlines()))
        made = re.findall(r"^sudo -u certworker mkdir (.*)$", self.TEXT, re.MULTILINE)[0].split()

        assert made == [str(path) for path in (loaded.certificates_dir, loaded.config_dir, loaded.state_dir)]
        assert {Path(path).parent for path in made} == {
            Path("/var/lib", settings["Service"]["StateDirectory"])
        }

    @pytest.mark.parametrize("command", ["doctor", "work"])
    def test_its_commands_read_the_variables(self, tmp_path: Path, command: str) -> None:
        """
        The commands of the page export each variable of the file.
        """
        (script,) = re.findall(
            rf"^sudo -u certworker sh -c '(.*certworker {command})'$", self.TEXT, re.MULTILINE
        )
        (tmp_path / "env").write_text(self.variables())
        script = script.replace("/etc/certworker/env", str(tmp_path / "env"))
        ran = subprocess.run(
            ["sh", "-e", "-c", script.replace(f"certworker {command}", "env")],
            capture_output=True,
            text=True,
            check=True,
        )

        assert set(self.variables().splitlines()) <= set(ran.stdout.splitlines())
