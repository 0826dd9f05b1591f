"""
CHANGELOG.md has the format of Keep a Changelog 1.1.0.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.test_english import banned_in

TEXT = (Path(__file__).parents[1] / "CHANGELOG.md").read_text()
VERSIONS = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]

#: The possible sections of a version.
SECTIONS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


class TestForm:
    def test_the_first_version_is_the_next_one(self) -> None:
        """
        `Unreleased` exists once, and is the first version.
        """
        assert ["[Unreleased]"] == [each.splitlines()[0] for each in VERSIONS if "[Unreleased]" in each]
        assert VERSIONS[0].startswith("[Unreleased]")

    def test_each_section_of_a_version_exists_once(self) -> None:
        """
        A version has each section at most once, so that a reader finds all changes of a kind.
        """
        for version in VERSIONS:
            sections = Counter(re.findall(r"^### (.*)$", version, re.MULTILINE))

            assert set(sections) <= SECTIONS
            assert {1} == set(sections.values())

    def test_each_line_belongs_to_a_change(self) -> None:
        """
        Each change is one item without an empty line, and no change occurs twice.
        """
        for section in re.split(r"^### .*\n", TEXT, flags=re.MULTILINE)[1:]:
            changes = re.findall(r"^- .*(?:\n  .*)*", section.partition("\n## ")[0], re.MULTILINE)

            assert section.partition("\n## ")[0].strip() == "\n".join(changes)
            assert len(changes) == len(set(changes))

    def test_its_words_are_those_of_the_glossary(self) -> None:
        """
        The changes use only the terms of the glossary.
        """
        assert [] == banned_in(TEXT)
