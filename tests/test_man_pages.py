"""
The man pages in contrib/man.
"""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from certworker.cli import COMMANDS, cli
from tests.man_pages import PAGES, ROOT, drawn, roff

WRITTEN = sorted(PAGES.glob("*.1"))


def rendered(page: Path) -> str:
    """
    Return *page* in the format of man, without line breaks and hyphenation.

    man writes the warnings of groff to standard error.
    """
    ran = subprocess.run(
        ["man", "--warnings=w", "--no-justification", "--no-hyphenation", "--local-file", str(page)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "MANWIDTH": "500"},
    )
    assert ran.stderr == ""
    return ran.stdout


class TestPages:
    def test_they_match_the_code(self) -> None:
        """
        The man pages are those that `make docs-generated` generates from the commands.
        """
        assert drawn() == {path: path.read_text() for path in WRITTEN}, "run: make docs-generated"

    @pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.stem)
    def test_man_renders_each_without_a_warning(self, page: Path) -> None:
        """
        The page has its sections, without a marker of click or a request of roff.
        """
        text = rendered(page)

        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"):
            assert f"\n{section}\n" in text
        assert f"{page.stem} - " in text
        assert [] == [mark for mark in ("\b", "\\", "\n.") if mark in text]

    def test_the_main_page_lists_each_command(self) -> None:
        """
        Each command has its own page, and the main page names it.
        """
        text = rendered(PAGES / "certworker.1")

        assert [] == [name for name in COMMANDS if f"See certworker-{name}(1) " not in text]
        assert "Exit codes:" in text

    def test_examples_have_their_lines_and_hyphens(self) -> None:
        """
        The page has the lines and hyphens of each example, so that a user can copy it into a shell.
        """
        text = rendered(PAGES / "certworker-status.1")

        assert ["certworker status --due 7d", "certworker status --state no_certificate"] == [
            line.strip() for line in text.splitlines() if line.strip().startswith("certworker status --")
        ]

    def test_each_option_has_its_help(self) -> None:
        """
        The page of a command has the options of its `--help`.
        """
        command = cli.get_command(click.Context(cli), "request")
        assert command is not None
        text = rendered(PAGES / "certworker-request.1")

        for option in command.params:
            if isinstance(option, click.Option):
                assert all(name in text for name in option.opts)
                assert str(option.help) in text


class TestRoff:
    @pytest.mark.parametrize(
        ("text", "escaped"),
        [
            (".env has it", "\\&.env has it"),
            ("'a'", "\\(aqa\\(aq"),
            ("--all", "\\-\\-all"),
            ("C:\\", "C:\\e"),
        ],
    )
    def test_a_text_is_not_a_request(self, text: str, escaped: str) -> None:
        """
        The function escapes a character that is a request of roff at the beginning of a line.
        """
        assert escaped == roff(text)


class TestPackage:
    def test_the_wheel_has_them_in_the_directory_of_man(self) -> None:
        """
        The wheel has the pages in `share/man`, to which pipx links.
        """
        data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
        (pattern,) = data["share/man/man1"]

        assert WRITTEN == sorted(ROOT.glob(pattern))
