"""
`certworker remove`: takes names out of service.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click

from certworker.cli.given import asker, file_option, names_argument, normalised, timeout_option
from certworker.cli.output import say
from certworker.intake.connection import connected
from certworker.intake.following import follow
from certworker.intake.queue import request_removal
from certworker.settings import load


@click.command()
@names_argument
@file_option
@click.option(
    "--wait", is_flag=True, help="Follow the jobs: exit code 0 if all are removed, 1 if one is not."
)
@timeout_option
def command(names: tuple[str, ...], file: TextIO | None, wait: bool, timeout: int) -> None:
    """
    Take each NAME out of service: out of the proxy, off the volume, and renew it no more.

    Nothing is revoked. A name in _APP_DOMAIN comes back with the next start.

    \b
    Example:
      certworker remove api.example.org
    """
    settings = load(os.environ)
    # What is there may have come from another CA than today's.
    wanted = normalised(names, file, private=True)
    with connected(settings) as connection:
        jobs = [
            (request_removal(name, by=asker("remove"), connection=connection), (name,)) for name in wanted
        ]
        if not wait:
            for name in wanted:
                say(f"{name}: its removal is requested; to see how it stands: certworker status {name}")
            return
        ended = follow(connection, jobs, timeout_seconds=timeout)
    for name, end in zip(wanted, ended, strict=True):
        say(f"{name}: {end.told}")
    sys.exit(0 if all(end.well for end in ended) else 1)
