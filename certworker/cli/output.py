"""
What commands print: text on one line each, printable, and JSON.

Much of it comes from Redis, from a CA or from files, so that other programs may have written it. Control
characters would move the cursor, hide text or change the title of the terminal.
"""

from __future__ import annotations

import json

import click

from certworker.errors import printable

#: Characters. A line with all hundred names of a certificate and a failure has fewer.
LONGEST_LINE = 50_000


def say(text: str = "", *, err: bool = False) -> None:
    """
    Print *text* as one line.

    Args:
        text: Whatever it holds, what is not printable is shown as an escape sequence.
        err: Print it to the standard error.
    """
    click.echo(printable(text, LONGEST_LINE), err=err)


def say_json(value: object) -> None:
    """
    Print *value* as one line of JSON in ASCII.
    """
    click.echo(json.dumps(value))
