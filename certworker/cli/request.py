"""
`certworker request`: puts names on the queue, and waits for their certificates with `--wait`.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click

from certworker.cli.arguments import caller_identity, file_option, names_argument, parse_names, timeout_option
from certworker.cli.outcome import json_option, show_outcomes, show_requested
from certworker.domains import requested_names
from certworker.redis.client import connected
from certworker.settings import load
from certworker.worker.producer import request_certificate


@click.command()
@names_argument
@file_option
@click.option("--force", is_flag=True, help="Issue even if the certificate in service is not due.")
@click.option(
    "--use-full-quota", is_flag=True, help="With --force: as often as the CA allows, not three times a week."
)
@click.option("--together", is_flag=True, help="One certificate for all names instead of one for each.")
@click.option(
    "--wait", is_flag=True, help="Wait for the end: exit code 0 if all are issued or kept, 1 if not."
)
@timeout_option
@json_option
def command(
    names: tuple[str, ...],
    file: TextIO | None,
    force: bool,
    use_full_quota: bool,
    together: bool,
    wait: bool,
    timeout: int,
    as_json: bool,
) -> None:
    """
    Request a certificate for each NAME.

    \b
    Example:
      certworker request --wait api.example.org
      certworker request --file names.txt
    """
    settings = load(os.environ)
    private = settings.authority.private_names
    wanted = parse_names(names, file, private=private)
    packed = [requested_names(None, wanted, private=private)] if together else None
    requests = packed or [(name,) for name in wanted]
    by = caller_identity("request") if force else None
    with connected(settings.redis) as connection:
        jobs = [
            (
                request_certificate(
                    each, force=force, use_full_quota=use_full_quota, by=by, connection=connection
                ),
                each,
            )
            for each in requests
        ]
        if wait:
            sys.exit(0 if show_outcomes(connection, jobs, timeout, as_json=as_json) else 1)
        show_requested(connection, jobs, "requested", as_json=as_json)
