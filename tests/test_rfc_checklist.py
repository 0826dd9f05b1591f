"""
Each rule in docs/internals/rfc-checklist.md has an existing test.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "internals" / "rfc-checklist.md"
TEXT = PAGE.read_text()

#: The section, the level, the behavior of the client, and the test of each row.
ROWS = re.findall(r"^\| ([\w.]+) \| (\w*) \| (.+?) \| `(tests/[\w/]+\.py)::(\w+)` \|$", TEXT, re.MULTILINE)


class TestRows:
    def test_each_line_of_a_table_is_a_row(self) -> None:
        """
        Each line of a table has the format of a row.
        """
        lines = [line for line in TEXT.splitlines() if line.startswith("|")]
        heads = [line for line in lines if line.startswith(("| section", "|---"))]

        assert len(lines) - len(heads) == len(ROWS)
        assert len(ROWS) > 80

    @pytest.mark.parametrize(("section", "path", "test"), [(row[0], row[3], row[4]) for row in ROWS])
    def test_its_test_exists(self, section: str, path: str, test: str) -> None:
        """
        The test of each rule exists.
        """
        tree = ast.parse((TOP / path).read_text())
        found = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}

        assert test.startswith("test_"), section
        assert test in found, section

    def test_levels_are_those_of_rfc_2119(self) -> None:
        """
        The level of a rule is MUST, SHOULD or empty.
        """
        assert {"", "MUST", "SHOULD"} == {row[1] for row in ROWS}

    @pytest.mark.parametrize("document", ["8555, section 6", "8555, section 7", "8555, section 8", "9773"])
    def test_each_document_has_a_table(self, document: str) -> None:
        """
        Each document has its table.
        """
        assert re.search(rf"^## RFC {document}.*\n\n\| section", TEXT, re.MULTILINE)
