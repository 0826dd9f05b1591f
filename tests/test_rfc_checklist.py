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

    def test_its_test_exists(self) -> None:
        """
        The test of each rule exists.
        """
        files = {path: ast.walk(ast.parse((TOP / path).read_text())) for path in {row[3] for row in ROWS}}
        tests = {
            (path, each.name)
            for path, nodes in files.items()
            for each in nodes
            if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
        }
        missing = [
            f"{section}: {path}::{test}" for section, _, _, path, test in ROWS if (path, test) not in tests
        ]

        assert not missing, "\n".join(missing)

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
