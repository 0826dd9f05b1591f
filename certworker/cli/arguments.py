"""
The arguments and options of several commands: names, a file with names, and a time limit.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

import click

from certworker.cli.output import say
from certworker.domains import normalize
from certworker.errors import CertworkerError

names_argument = click.argument("names", nargs=-1, metavar="[NAME]...")
file_option = click.option(
    "--file",
    type=click.File(encoding="utf-8", errors="replace"),
    metavar="FILE",
    help="Read names from FILE, one per line; # begins a comment; - means the standard input.",
)
timeout_option = click.option(
    "--timeout",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="The maximum number of seconds that --wait waits, for all names together.",
)


def caller_identity(command: str) -> str:
    """
    Return *command* with the user id and the host, for the log and the history.
    """
    return f"certworker {command} (uid {os.getuid()} on {socket.gethostname()})"


def parse_names(names: Iterable[str], file: TextIO | None, *, private: bool, wildcards: bool) -> list[str]:
    """
    Return the normalized names in *names* and *file*, each once.

    If the file has invalid lines, print a message for each of these lines, and end with exit code 1.

    Args:
        names: The names in the arguments.
        file: The file with more names, one per line; None: no file.
        private: Whether names with private suffixes are accepted.
        wildcards: Whether wildcards are accepted.

    Raises:
        click.UsageError: There are no names.
        NameFailure: One of the names in the arguments is invalid for a certificate.
    """
    requested = dict.fromkeys(normalize(name, private=private, wildcards=wildcards) for name in names)
    wrong = []
    for number, line in _lines(file):
        try:
            requested[normalize(line, private=private, wildcards=wildcards)] = None
        except CertworkerError as failure:
            wrong.append(f"line {number}: {failure}")
    for message in wrong:
        say(message, err=True)
    if wrong:
        lines = "1 line is" if len(wrong) == 1 else f"{len(wrong):,} lines are"
        say(f"Nothing is requested: {lines} wrong. Correct the file, then run the command again.", err=True)
        sys.exit(1)
    if not requested:
        raise click.UsageError("Give a NAME, or a --file with names in it.")
    return list(requested)


def _lines(file: TextIO | None) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file or (), start=1):
        if name := line.partition("#")[0].strip():
            yield number, name
