"""
The output of commands: printable lines, JSON, and the progress line of long commands.

A string from Redis, from a CA, or from a file may contain control characters, which would move the cursor,
hide text, or change the title of the terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from certworker.errors import printable
from certworker.errors.pages import reference_of
from certworker.variables import value_in

#: Characters. A line with all hundred names of a certificate and a failure has fewer.
LONGEST_LINE = 50_000

BAR_WIDTH = 20

#: Takes three numbers of items: those that are done (including failures), those that failed, and all.
Update = Callable[[int, int, int], None]


def say(text: str = "", *, err: bool = False, color: str | None = None) -> None:
    """
    Print *text* as one line.

    Args:
        text: The text; unprintable characters are shown as escape sequences.
        err: Print to the standard error.
        color: One of click's names. Only a terminal gets colors, and only if NO_COLOR is not set
            (https://no-color.org).
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
    Return the URL of the page of the failure with *code*, or the command that prints the page.

    Return an empty string if no failure has this code.

    CERTWORKER_DOCS_URL is read here, because some commands report failures of the settings themselves.
    """
    try:
        docs_url = value_in(os.environ, "CERTWORKER_DOCS_URL")
    except ValueError:
        docs_url = ""
    return reference_of(code, docs_url or None)


@contextmanager
def progress_line() -> Iterator[Update]:
    """
    Show a progress line during the block; yield the function that updates the line.

    Only a terminal shows the line, on the standard error. A file or a pipe gets only the results.
    """
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    # The import of rich is slow, and only a terminal needs it.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task
    from rich.text import Text

    class Numbers(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(numbers(int(task.completed), task.fields["failed"], int(task.total or 0), task.speed))

    with Progress(
        BarColumn(BAR_WIDTH), Numbers(), console=Console(stderr=True), transient=True, expand=False
    ) as progress:
        task = progress.add_task("", total=None, failed=0)
        yield lambda done, failed, total: progress.update(task, completed=done, failed=failed, total=total)


def numbers(done: int, failed: int, total: int, rate: float | None = None) -> str:
    """
    Return the progress as text; the *rate* in items per second gives the remaining time.
    """
    parts = [f"{done:,} of {total:,} done", f"{failed:,} failed"]
    if rate:
        parts += [f"{rate:.1f}/s", f"{_seconds((total - done) / rate)} left"]
    return ", ".join(parts)


def _seconds(seconds: float) -> str:
    hours, rest = divmod(int(seconds + 0.5), 3_600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
