"""
The man pages in contrib/man. `make docs-generated` generates them from the commands.
"""

from __future__ import annotations

import copy
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
from click_man.core import generate_man_page

from certworker.cli import COMMANDS, cli
from certworker.version import __version__

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "contrib" / "man"

#: The pages have no date, so they change only if a command changes.
UNDATED = " "


def drawn() -> dict[Path, str]:
    """
    Return the page of each command by its path.
    """
    return dict(_pages(_in_roff(cli, COMMANDS), None, "certworker"))


def roff(text: str) -> str:
    """
    Return plain *text* as roff, with each special character escaped.
    """
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("'", "\\(aq")
    return re.sub(r"^(?=\.)", r"\\&", escaped, flags=re.MULTILINE)


def _pages(command: click.Command, parent: click.Context | None, name: str) -> Iterator[tuple[Path, str]]:
    context = click.Context(command, info_name=name, parent=parent)
    page = generate_man_page(context, version=__version__, date=UNDATED)
    title = context.command_path.replace(" ", "-")
    # click-man uses this title only in some places.
    page = page.replace(f'"{context.command_path.upper()}"', f'"{title.upper()}"')
    page = page.replace(f"{context.command_path}-", f"{title}-")
    yield PAGES / f"{title}.1", page + _see_also(context)
    if isinstance(command, click.Group):
        for below, each in command.commands.items():
            yield from _pages(each, context, below)


def _see_also(context: click.Context) -> str:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    pages = [".BR certworker (1)"] if context.parent else []
    return "\n".join([".SH SEE ALSO", *pages, ".PP", roff(urls["Documentation"])]) + "\n"


def _in_roff(command: click.Command, short: dict[str, str]) -> click.Command:
    """
    Return a copy of *command* and of its subcommands with each text as roff.

    click-man does not escape texts, and does not find commands that the program imports on demand.

    Args:
        short: The short help of some subcommands, which replaces the first sentence of their help.
    """
    paragraphs = re.split("\n\n|\n(?=\b\n)", inspect.cleandoc(command.help or ""))
    found: click.Command = click.Command(command.name)
    if isinstance(command, click.Group):
        context = click.Context(command)
        below = {name: command.get_command(context, name) for name in command.list_commands(context)}
        found = click.Group(
            command.name, commands={name: _in_roff(each, {}) for name, each in below.items() if each}
        )
        for name, sentence in short.items():
            found.commands[name].short_help = roff(sentence.removesuffix("."))
    found.params = [_option(each) for each in command.params]
    found.help = "\n\n".join(map(_paragraph, paragraphs))
    found.short_help = roff(" ".join(paragraphs[0].split()).removesuffix("."))
    return found


def _paragraph(text: str) -> str:
    # click marks a paragraph with fixed line breaks by this character.
    if not text.startswith("\b\n"):
        return roff(text)
    title, *lines = text.removeprefix("\b\n").splitlines()
    return "\n".join(
        [roff(title), ".PP", ".RS 2", ".nf", *(roff(line.strip()) for line in lines), ".fi", ".RE"]
    )


def _option(option: click.Parameter) -> click.Parameter:
    found = copy.copy(option)
    if isinstance(found, click.Option) and found.help:
        found.help = roff(found.help)
    return found
