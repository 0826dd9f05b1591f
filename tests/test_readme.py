"""
README.md is short, and its links work on PyPI.
"""

from __future__ import annotations

import re

from tests.documentation import README, ROOT

LONGEST_LINES = 150

#: The URL of the project's files. Relative links do not work on PyPI.
FILES = "https://github.com/certworker/certworker/blob/main/"
IMAGES = "https://raw.githubusercontent.com/certworker/certworker/main/"

TEXT = README.read_text()

#: The target of each link definition by its label.
LINKS = dict(re.findall(r"^\[([a-z-]+)\]: (\S+)$", TEXT, flags=re.MULTILINE))


class TestReadme:
    def test_it_is_short(self) -> None:
        """
        The README has at most 150 lines.
        """
        assert len(TEXT.splitlines()) <= LONGEST_LINES

    def test_the_first_screen_has_the_two_commands_without_requirements(self) -> None:
        """
        The first 24 lines have the commands `make demo` and `make test`.
        """
        screen = "\n".join(TEXT.splitlines()[:24])

        assert "make demo" in screen
        assert "make test" in screen


class TestLinks:
    def test_each_link_leads_to_a_file_of_the_project(self) -> None:
        """
        Each target is an absolute URL, and its path exists in this checkout.
        """
        paths = {
            label: target.removeprefix(FILES).removeprefix(IMAGES).partition("#")[0]
            for label, target in LINKS.items()
        }

        assert len(paths) > 10
        assert [] == [label for label, path in paths.items() if not (ROOT / path).is_file()]

    def test_each_label_is_defined_and_used(self) -> None:
        """
        Each label has a definition, and each definition has a link.
        """
        used = re.findall(r"\]\[([a-z-]+)\]", TEXT)

        assert set(LINKS) == set(used)

    def test_no_link_is_relative(self) -> None:
        """
        Each link has its target in the list at the end.
        """
        assert [] == re.findall(r"\]\([^)]+\)", TEXT)
