"""
`certworker health`: the health check of the container, without a shell and without curl.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys

import click

from certworker.cli.output import say, say_json
from certworker.deadline import Deadline
from certworker.hosts import with_port
from certworker.redis.client import connected
from certworker.settings import HttpAddress, Settings, load
from certworker.worker.health import reports

TIMEOUT_SECONDS = 3

#: A response has a few hundred bytes.
MAX_RESPONSE_BYTES = 64 * 1024


@click.command()
def command() -> None:
    """
    Check whether the running worker is healthy.

    The exit code is 0 if Redis responds, the scheduler is running, and each loop is making progress;
    otherwise, it is 1. With CERTWORKER_HTTP_ADDRESS=off, the command reads the last report of each worker on
    this host from Redis.

    \b
    Example:
      certworker health
    """
    settings = load(os.environ)
    address = settings.http_address
    sys.exit(0 if (_request_health(address) if address else _read_reports(settings)) else 1)


def _request_health(address: HttpAddress) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 (compared only)
    connection = http.client.HTTPConnection(host, address.port)
    try:
        connection.sock = Deadline(TIMEOUT_SECONDS).connect_to(host, address.port)
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        say(answer.read(MAX_RESPONSE_BYTES).decode("utf-8", "replace").strip())
    except (OSError, http.client.HTTPException) as fault:
        place = with_port(host, address.port)
        say(f"The HTTP server (responder) does not respond at {place} ({fault}).", err=True)
        return False
    return answer.status == http.client.OK


def _read_reports(settings: Settings) -> bool:
    host = socket.gethostname()
    with connected(settings.redis) as connection:
        found = [report for report in reports(connection) if report.host == host]
    for report in found:
        say_json(report.as_json())
    if not found:
        say(f"No worker on {host} has reported to Redis in the last 30 seconds.", err=True)
    return bool(found) and all(report.healthy for report in found)
