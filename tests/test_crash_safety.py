"""
Each claim in docs/concepts/crash-safety.md has an existing test.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from certworker.acme.order_keys import OLDEST
from certworker.state.locks import LEASE_SECONDS
from certworker.storage.shared_directory import LEAST_AGE_SECONDS
from certworker.worker.maintenance import LEFTOVERS_SECONDS

TOP = Path(__file__).parents[1]
TEXT = (TOP / "docs" / "concepts" / "crash-safety.md").read_text()

#: The rows of each table whose last column is `test`.
TABLES = re.findall(r"^\|[^\n]*\| test \|\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
ROWS = [line for table in TABLES for line in table.splitlines()]


class TestClaims:
    def test_there_are_some(self) -> None:
        """
        The page has tables with tests in the expected format.
        """
        assert 5 == len(TABLES)
        assert len(ROWS) > 20

    @pytest.mark.parametrize("row", ROWS)
    def test_its_test_exists(self, row: str) -> None:
        """
        Each test that the page names exists.
        """
        found = re.search(r"\| `(tests/[\w/]+\.py)::(test_\w+)` \|$", row)
        assert found
        tree = ast.parse((TOP / found[1]).read_text())

        assert found[2] in {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}

    def test_the_figures_are_those_of_the_code(self) -> None:
        """
        The page has the durations of the code.
        """
        text = " ".join(TEXT.split())

        assert f"its lease, {LEASE_SECONDS} seconds after the last renewal" in text
        assert f"files that are older than {LEAST_AGE_SECONDS:.0f} seconds" in text
        assert f"leftovers every {LEFTOVERS_SECONDS:.0f} seconds" in text
        assert f"after {OLDEST.days} days, when no CA knows the order" in text
