"""
What commands print: text on one line each, printable, and JSON.

Much of it comes from Redis, from a CA or from files, so that other programs may have written it. Control
characters would move the cursor, hide text or change the title of the terminal.
"""

from __future__ import annotations

import json
import os

import click

from certworker.errors import printable
from certworker.errors.pages import reference_of
from certworker.variables import value_in

#: Characters. A line with all hundred names of a certificate and a failure has fewer.
LONGEST_LINE = 50_000


def say(text: str = "", *, err: bool = False, color: str | None = None) -> None:
    """
    Print *text* as one line.

    Args:
        text: Whatever it holds, what is not printable is shown as an escape sequence.
        err: Print it to the standard error.
        color: One of click's names. Only a terminal shows it, unless NO_COLOR (https://no-color.org) is set.
    """
    shown = printable(text, LONGEST_LINE)
    click.echo(click.style(shown, fg=color) if color and not os.environ.get("NO_COLOR") else shown, err=err)


def say_json(value: object) -> None:
    """
    Print *value* as one line of JSON in ASCII.
    """
    click.echo(json.dumps(value))


def reference(code: str) -> str:
    """
    Return where a person reads the page of the failure with *code*; empty if no failure has this code.

    The setting is read here because some commands report failures of the settings themselves.
    """
    try:
        docs_url = value_in(os.environ, "CERTWORKER_DOCS_URL")
    except ValueError:
        docs_url = ""
    return reference_of(code, docs_url or None)
