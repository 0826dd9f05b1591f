"""
docs/internals/rfc-checklist.md: each rule of the RFCs has a test that exists.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "internals" / "rfc-checklist.md"
TEXT = PAGE.read_text()

#: Each row: the section, the level, what the client does, and the test.
ROWS = re.findall(r"^\| ([\w.]+) \| (\w*) \| (.+?) \| `(tests/[\w/]+\.py)::(\w+)` \|$", TEXT, re.MULTILINE)


class TestRows:
    def test_each_line_of_a_table_is_one(self) -> None:
        """
        A row that is written in another way has no test.
        """
        lines = [line for line in TEXT.splitlines() if line.startswith("|")]
        heads = [line for line in lines if line.startswith(("| section", "|---"))]

        assert len(lines) - len(heads) == len(ROWS)
        assert len(ROWS) > 80

    @pytest.mark.parametrize(("section", "path", "test"), [(row[0], row[3], row[4]) for row in ROWS])
    def test_its_test_exists(self, section: str, path: str, test: str) -> None:
        """
        A rule whose test has gone is a hope.
        """
        tree = ast.parse((TOP / path).read_text())
        found = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}

        assert test.startswith("test_"), section
        assert test in found, section

    def test_levels_are_those_of_rfc_2119(self) -> None:
        """
        Or the rule follows from the text.
        """
        assert {"", "MUST", "SHOULD"} == {row[1] for row in ROWS}

    @pytest.mark.parametrize("document", ["8555, section 6", "8555, section 7", "8555, section 8", "9773"])
    def test_each_document_has_a_table(self, document: str) -> None:
        """
        They were read section by section.
        """
        assert re.search(rf"^## RFC {document}.*\n\n\| section", TEXT, re.MULTILINE)
