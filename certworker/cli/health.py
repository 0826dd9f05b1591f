"""
`certworker health`: the container's health check, without a shell and without curl.
"""

from __future__ import annotations

import http.client
import os
import sys

import click

from certworker.settings import load

TIMEOUT_SECONDS = 3


@click.command()
def command() -> None:
    """
    Ask the running worker whether it is well.

    Exit code 0 if Redis answers and the scheduler lives, 1 if not.

    \b
    Example:
      certworker health
    """
    address = load(os.environ).http_address
    if address is None:
        click.echo("CERTWORKER_HTTP_ADDRESS is off, so the worker cannot be asked.", err=True)
        sys.exit(1)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 (any address is ours)
    connection = http.client.HTTPConnection(host, address.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        click.echo(answer.read().decode())
    except OSError as fault:
        click.echo(f"The worker does not answer at {host}:{address.port} ({fault}).", err=True)
        sys.exit(1)
    sys.exit(0 if answer.status == http.client.OK else 1)
