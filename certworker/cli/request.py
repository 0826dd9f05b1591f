"""
`certworker request`: puts names on the queue, and waits for the answer if asked to.
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
from certworker.intake.queue import request_certificate
from certworker.names import requested_names
from certworker.settings import load


@click.command()
@names_argument
@file_option
@click.option("--force", is_flag=True, help="Issue anew even if the certificate in service is not due.")
@click.option(
    "--i-know", is_flag=True, help="With --force: as often as the CA allows, not three times a week."
)
@click.option("--together", is_flag=True, help="One certificate for all names instead of one for each.")
@click.option("--wait", is_flag=True, help="Follow the job: exit code 0 if issued or kept, 1 if it failed.")
@timeout_option
def command(
    names: tuple[str, ...],
    file: TextIO | None,
    force: bool,
    i_know: bool,
    together: bool,
    wait: bool,
    timeout: int,
) -> None:
    """
    Ask for a certificate for each NAME.

    \b
    Example:
      certworker request --wait api.example.org
    """
    settings = load(os.environ)
    private = settings.authority.private_names
    wanted = normalised(names, file, private=private)
    packed = [requested_names(None, wanted, private=private)] if together else None
    requests = packed or [(name,) for name in wanted]
    by = asker("request") if force else None
    with connected(settings) as connection:
        jobs = [
            (request_certificate(each, force=force, i_know=i_know, by=by, connection=connection), each)
            for each in requests
        ]
        if not wait:
            for _, each in jobs:
                say(f"{', '.join(each)}: requested; to see how it stands: certworker status {each[0]}")
            return
        ended = follow(connection, jobs, timeout_seconds=timeout)
    for (_, each), end in zip(jobs, ended, strict=True):
        say(f"{', '.join(each)}: {end.told}")
    sys.exit(0 if all(end.well for end in ended) else 1)
