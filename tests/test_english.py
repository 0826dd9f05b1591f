"""
The documentation, the messages and the help use the terms of the glossary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from certworker.cli import cli
from certworker.errors import catalog

TOP = Path(__file__).parents[1]

#: Each banned word, with its replacement from the glossary (docs/internals/architecture.md).
BANNED = {
    r"anew": "again",
    r"at any rate": "leave it out",
    r"by itself": "automatically",
    r"desks?": "issuer",
    r"for ever": "permanently",
    r"go(es)? on": "continue",
    r"house|rooms?": "app, package",
    r"in the place of": "instead of",
    r"look(s|ed)? (again|at)": "check",
    r"mend(s|ed)?": "fix",
    r"next look": "next check",
    r"nobody|somebody|whoever": "the program, the user or the named thing",
    r"of no use": "invalid",
    r"padlocks?": "in service, deployment check",
    r"post office": "notifier",
    r"rehears\w+": "dry run",
    r"so many": "the number",
    r"take(s|n)? away": "remove",
    r"tell(s|ing)?|told": "log, report, notify",
    r"we|us|our|ours": "certworker",
}
PATTERN = re.compile(rf"(?<![\w./$-])({'|'.join(BANNED)})(?![\w/=-])", re.IGNORECASE)

#: The ban does not apply to commands, code, addresses and names of values.
CODE = re.compile(
    r"^```.*?^```|^(?: {4}|\t).*?$|`[^`\n]*`|\]\([^)]*\)|https?://\S+|<!--.*?-->|\{\w+\}",
    re.MULTILINE | re.DOTALL,
)

PAGES = [
    *(TOP / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md")),
    *sorted((TOP / "docs").rglob("*.md")),
]


def words_of_help(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    """
    Yield the path and the help of *command* and of each of its subcommands.
    """
    yield path, command.get_help(click.Context(command, info_name=path))
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from words_of_help(below, f"{path} {name}")


def banned_in(text: str) -> list[str]:
    """
    Return the banned words in *text*.
    """
    return [match[0] for match in PATTERN.finditer(CODE.sub("", text))]


class TestMarkup:
    def test_a_list_item_begins_with_one_asterisk(self) -> None:
        """
        No line begins with the asterisks of a broken list item or of a broken bold text.
        """
        wrong = [
            f"{page.relative_to(TOP)}: {line}"
            for page in PAGES
            for line in re.findall(r"^\s*\*\* .*|^\*\*\*.*", page.read_text(), re.MULTILINE)
        ]

        assert not wrong, "\n".join(wrong)


class TestBannedWords:
    def test_a_page_has_none(self) -> None:
        """
        The documentation uses only the terms of the glossary.
        """
        wrong = [f"{page.relative_to(TOP)}: {word}" for page in PAGES for word in banned_in(page.read_text())]

        assert not wrong, "\n".join(wrong)

    def test_a_failure_has_none(self) -> None:
        """
        The message and the remedy of each failure class and of its variants have no banned word.
        """
        wrong = [
            f"{kind.__name__}: {word}"
            for failure in catalog()
            for kind in (failure, *failure.__subclasses__())
            for word in banned_in(f"{kind.message_template} {kind.remedy_template}")
        ]

        assert not wrong, "\n".join(wrong)

    def test_the_help_has_none(self) -> None:
        """
        The help of each command has no banned word.
        """
        found = {path: banned_in(text) for path, text in words_of_help(cli, "certworker")}

        assert {} == {path: words for path, words in found.items() if words}

    def test_the_example_of_the_settings_has_none(self) -> None:
        """
        The comments of `.env.example` have no banned word.
        """
        comments = "\n".join(
            line for line in (TOP / ".env.example").read_text().splitlines() if line.startswith("#")
        )

        assert [] == banned_in(comments)

    @pytest.mark.parametrize("word", ["anew", "Nobody", "our", "goes on", "told"])
    def test_a_banned_word_is_found(self, word: str) -> None:
        """
        The test finds a banned word in a sentence in any case, but not within a word or in code.
        """
        assert [word] == banned_in(f"It is {word} here.")
        assert [] == banned_in(f"It is x{word}x here, and `{word}` is code.")
