"""
`certworker remove`: takes names out of service.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click

from certworker.cli.arguments import caller_identity, file_option, names_argument, parse_names, timeout_option
from certworker.cli.outcome import json_option, show_outcomes, show_requested
from certworker.redis.client import connected
from certworker.settings import load
from certworker.worker.producer import request_removal


@click.command()
@names_argument
@file_option
@click.option("--wait", is_flag=True, help="Wait for the end: exit code 0 if all are removed, 1 if not.")
@timeout_option
@json_option
def command(names: tuple[str, ...], file: TextIO | None, wait: bool, timeout: int, as_json: bool) -> None:
    """
    Take each NAME out of service: out of the proxy, off the volume, and renew it no more.

    Nothing is revoked. A name in _APP_DOMAIN comes back with the next start.

    \b
    Example:
      certworker remove api.example.org
    """
    settings = load(os.environ)
    # What is there may have come from another CA than today's.
    wanted = parse_names(names, file, private=True)
    with connected(settings.redis) as connection:
        jobs = [
            (request_removal(name, by=caller_identity("remove"), connection=connection), (name,))
            for name in wanted
        ]
        if wait:
            sys.exit(0 if show_outcomes(connection, jobs, timeout, as_json=as_json) else 1)
        show_requested(connection, jobs, "removal requested", as_json=as_json)
