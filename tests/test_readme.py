"""
README.md: short, with links that work on PyPI, and with examples that run.
"""

from __future__ import annotations

import re

from tests.documentation import README, ROOT

LONGEST_LINES = 150

#: Where the files of the project are on the Internet. Relative links are broken on PyPI.
FILES = "https://github.com/certworker/certworker/blob/main/"
IMAGES = "https://raw.githubusercontent.com/certworker/certworker/main/"

TEXT = README.read_text()

#: Each definition of a link: its label and its target.
LINKS = dict(re.findall(r"^\[([a-z-]+)\]: (\S+)$", TEXT, flags=re.MULTILINE))


class TestReadme:
    def test_it_is_short(self) -> None:
        """
        The README has at most 150 lines. Everything else is in docs.
        """
        assert len(TEXT.splitlines()) <= LONGEST_LINES

    def test_the_first_screen_has_the_two_commands_that_need_nothing(self) -> None:
        """
        The commands `make demo` and `make test` are on the first 24 lines.
        """
        screen = "\n".join(TEXT.splitlines()[:24])

        assert "make demo" in screen
        assert "make test" in screen


class TestLinks:
    def test_each_link_leads_to_a_file_of_the_project(self) -> None:
        """
        Each target is absolute, and its path exists in this checkout.
        """
        paths = {
            label: target.removeprefix(FILES).removeprefix(IMAGES).partition("#")[0]
            for label, target in LINKS.items()
        }

        assert len(paths) > 10
        assert [] == [label for label, path in paths.items() if not (ROOT / path).is_file()]

    def test_each_label_is_defined_and_used(self) -> None:
        """
        A label without a definition is printed as it is.
        """
        used = re.findall(r"\]\[([a-z-]+)\]", TEXT)

        assert set(LINKS) == set(used)

    def test_no_link_is_relative(self) -> None:
        """
        All links are in the list at the end, so that one test sees them.
        """
        assert [] == re.findall(r"\]\([^)]+\)", TEXT)
