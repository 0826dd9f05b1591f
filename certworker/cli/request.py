"""
`certworker request`, `remove` and `resume`: requests for the worker.
"""

from __future__ import annotations

import os
import sys
from shlex import quote
from typing import TextIO

import click

from certworker.cli.arguments import caller_identity, file_option, names_argument, parse_names, timeout_option
from certworker.cli.outcome import json_option, show_outcomes, show_requested
from certworker.cli.output import say, say_json
from certworker.domains import normalize, requested_names
from certworker.redis.client import connected
from certworker.settings import load
from certworker.state.domain_records import DomainRecords
from certworker.storage.certificate_store import CertificateStore
from certworker.worker.producer import request_certificate, request_removal


@click.command()
@names_argument
@file_option
@click.option(
    "--force", is_flag=True, help="Issue even if the certificate in service is not due for renewal."
)
@click.option(
    "--use-full-quota",
    is_flag=True,
    help="With --force, issue as often as the CA allows. The default at Let's Encrypt is at most three "
    "certificates in a row for the same names, then one every 34 hours.",
)
@click.option("--tenant", help="The tenant that owns the names.")
@click.option("--together", is_flag=True, help="Request one certificate for all names.")
@click.option(
    "--wait",
    is_flag=True,
    help="Wait for the outcomes. The exit code is 0 if each outcome is issued, imported, kept, or covered; "
    "otherwise, it is 1.",
)
@timeout_option
@json_option
def command(
    names: tuple[str, ...],
    file: TextIO | None,
    force: bool,
    use_full_quota: bool,
    tenant: str | None,
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
      certworker request '*.example.org'
    """
    settings = load(os.environ)
    private, wildcards = settings.authority.private_names, settings.dns01.is_set
    requested = parse_names(names, file, private=private, wildcards=wildcards)
    together_names = (
        [requested_names(None, requested, private=private, wildcards=wildcards)] if together else None
    )
    requests = together_names or [(name,) for name in requested]
    by = caller_identity("request") if force else None
    with connected(settings.redis) as connection:
        jobs = [
            (
                request_certificate(
                    group,
                    force=force,
                    use_full_quota=use_full_quota,
                    tenant=tenant,
                    by=by,
                    connection=connection,
                ),
                group,
            )
            for group in requests
        ]
        if wait:
            sys.exit(0 if show_outcomes(connection, jobs, timeout, as_json=as_json) else 1)
        show_requested(connection, jobs, "requested", as_json=as_json)


@click.command()
@names_argument
@file_option
@click.option(
    "--wait",
    is_flag=True,
    help="Wait for the outcomes. The exit code is 0 if all names are removed; otherwise, it is 1.",
)
@timeout_option
@json_option
def remove(names: tuple[str, ...], file: TextIO | None, wait: bool, timeout: int, as_json: bool) -> None:
    """
    Remove each NAME from the proxy and from the volume, and stop its renewals.

    Removing a name does not revoke its certificate. At its next start, the worker again requests the names in
    _APP_DOMAIN, the wildcards of _APP_DOMAIN_FUNCTIONS and _APP_DOMAIN_SITES, and the names in the labels of
    running containers.

    \b
    Example:
      certworker remove api.example.org
    """
    settings = load(os.environ)
    # The certificate may be from a private CA of earlier settings.
    requested = parse_names(names, file, private=True, wildcards=True)
    with connected(settings.redis) as connection:
        jobs = [
            (request_removal(name, by=caller_identity("remove"), connection=connection), (name,))
            for name in requested
        ]
        if wait:
            sys.exit(0 if show_outcomes(connection, jobs, timeout, as_json=as_json) else 1)
        show_requested(connection, jobs, "removal requested", as_json=as_json)


@click.command()
@click.argument("name")
@json_option
def resume(name: str, as_json: bool) -> None:
    """
    Resume the orders for NAME after the CA has paused the name.

    First fix the cause of the failures, and open the link from the CA. To see both: certworker status NAME

    \b
    Example:
      certworker resume api.example.org
    """
    # The other commands of this module do not need the slow import of the ACME client.
    from certworker.issuance.issuer_factory import resume_orders

    settings = load(os.environ)
    name = normalize(name, private=True, wildcards=True)
    with connected(settings.redis) as connection:
        record = DomainRecords(connection).read(name)
        names = record.names if record else (name,)
        volume = CertificateStore(settings.certificates_dir)
        if not resume_orders(settings, connection, volume, names):
            state = "not_paused" if record else "unknown"
            if as_json:
                say_json({"name": name, "names": list(names), "state": state})
            elif record:
                say(f"{name} is not paused. To see its state: certworker status {quote(name)}")
            else:
                say(f"{name} is unknown here. To request it: certworker request {quote(name)}", err=True)
            sys.exit(0 if record else 1)
        job_id = request_certificate(names, by=caller_identity("resume"), connection=connection)
        show_requested(connection, [(job_id, names)], "requested", as_json=as_json)
