"""
The stages of `.ci/run`, and its second run of failed tests.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "run"

MAKEFILE = """
lint docs test-containers test-interop:
fuzz:
\t@echo fuzzed for $(MINUTES) minutes with seed $(SEED)
test:
\t@.venv/bin/python -m pytest --quiet $(AGAIN) test_project.py
"""

#: A test that fails once. It creates a file, with which it passes the next time.
FLAKY = """
from pathlib import Path

def test_flaky():
    file = Path("passed_by")
    passed_by = file.exists()
    file.touch()
    assert passed_by
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """
    Return a project with the script, a Makefile and this Python.
    """
    (tmp_path / ".ci").mkdir()
    shutil.copy(SCRIPT, tmp_path / ".ci" / "run")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "Makefile").write_text(MAKEFILE)
    return tmp_path


def run(project: Path, tests: str, stage: str = "suite") -> subprocess.CompletedProcess[str]:
    """
    Run *stage* of *project* with *tests*.
    """
    (project / "test_project.py").write_text(tests)
    return subprocess.run(
        ["bash", ".ci/run", stage], cwd=project, capture_output=True, text=True, check=False
    )


class TestSecondTry:
    def test_a_test_that_passes_alone_is_named_as_unstable(self, project: Path) -> None:
        """
        The run passes, and its output names the unstable test.
        """
        ran = run(project, FLAKY)

        assert (0, True) == (ran.returncode, "UNSTABLE test_project.py::test_flaky" in ran.stdout)

    def test_a_test_that_fails_again_fails_the_run(self, project: Path) -> None:
        """
        The run fails if a test fails again.
        """
        ran = run(project, "def test_wrong():\n    assert False\n")

        assert ran.returncode
        assert "UNSTABLE" not in ran.stdout

    def test_more_than_ten_failures_get_no_second_try(self, project: Path) -> None:
        """
        The run fails without a second try, because unstable tests do not cause this many failures.
        """
        many = "".join(f"def test_{number}():\n    assert False\n" for number in range(11))
        ran = run(project, many)

        assert ran.returncode
        assert 1 == ran.stdout.count("11 failed")

    def test_a_run_without_failures_has_no_second_try(self, project: Path) -> None:
        """
        A test that passes runs once.
        """
        ran = run(project, "def test_right():\n    pass\n")

        assert (0, 1) == (ran.returncode, ran.stdout.count("1 passed"))


class TestStages:
    @pytest.mark.parametrize("stage", ["fuzz", "all"])
    def test_the_fuzz_tests_run_for_a_minute(self, project: Path, stage: str) -> None:
        """
        The stage and the complete run use the same seed, so a change does not fail by chance.
        """
        ran = run(project, "def test_right():\n    pass\n", stage)

        assert (0, 1) == (ran.returncode, ran.stdout.count("fuzzed for 1 minutes with seed 1"))

    def test_an_unknown_stage_is_rejected(self, project: Path) -> None:
        """
        The script exits with code 2, and its message names all stages.
        """
        ran = run(project, "", "fuzzy")

        assert (2, True) == (ran.returncode, "interop, fuzz, or all" in ran.stderr)
