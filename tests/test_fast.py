"""
The selection of `make test-fast`.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.fast import imports_slow

ROOT = Path(__file__).parents[1]


@cache
def selected() -> frozenset[str]:
    """
    Return the files with tests that `make test-fast` runs.
    """
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.fast",
        "-p",
        "no:cacheprovider",
        "--collect-only",
        "-qq",
    ]
    found = subprocess.run([*command, "tests"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return frozenset(line.partition(":")[0] for line in found.splitlines() if line.startswith("tests/"))


class TestSelection:
    @pytest.mark.parametrize(
        "file",
        [
            "tests/cli/test_work.py",
            "tests/worker/test_php_producer.py",
            "tests/faults/test_pebble.py",
            "tests/storage/test_power_loss.py",
            "tests/test_documentation.py",
        ],
    )
    def test_it_has_no_test_with_another_program(self, file: str) -> None:
        """
        The selection has no test that uses a worker process, PHP, Pebble or another program, or a power loss.
        """
        assert (ROOT / file).is_file()
        assert file not in selected()

    def test_it_has_the_tests_of_pure_code(self) -> None:
        """
        The selection has more than 60 files, with those that test pure code.
        """
        assert {
            "tests/ratelimits/test_limits.py",
            "tests/settings/test_parsers.py",
            "tests/test_structure.py",
        } <= selected()
        assert len(selected()) > 60

    def test_no_selected_file_starts_a_program(self) -> None:
        """
        No selected file imports a slow module, directly or through another module of the tests.
        """
        assert [] == [file for file in sorted(selected()) if imports_slow(ROOT / file)]


class TestImports:
    @pytest.mark.parametrize(
        ("line", "slow"),
        [
            ("import subprocess", True),
            ("from tests.servers.worker import WorkerProcess", True),
            ("from tests.app_fixture import open_app", True),
            ("from tests.servers.redis import RedisServer", False),
            ("import json", False),
        ],
    )
    def test_a_new_test_with_a_slow_import_is_slow(self, tmp_path: Path, line: str, slow: bool) -> None:
        """
        The imports of a new test decide whether it is slow.
        """
        module = tmp_path / "test_new.py"
        module.write_text(f"{line}\n")

        assert slow is imports_slow(module)
