"""
`certworker revoke`: ends a certificate before its time.
"""

from __future__ import annotations

import os
import sys

import click
from redis import Redis

from certworker.acme.account_admin import REASONS
from certworker.cli.arguments import caller_identity
from certworker.cli.ca import ca_choice, connect_to_ca
from certworker.cli.output import say
from certworker.domains import normalize
from certworker.redis.client import connected
from certworker.settings import load
from certworker.storage.certificate_store import CertificateStore
from certworker.worker.producer import request_certificate, request_removal


@click.command()
@click.argument("name")
@click.option(
    "--reason",
    type=click.Choice(list(REASONS)),
    default="unspecified",
    help="What the CA is told and publishes.",
)
@click.option("--remove", is_flag=True, help="Take its names out of service instead of issuing anew.")
def command(name: str, reason: str, remove: bool) -> None:
    """
    Revoke the certificate of NAME at its CA; a new one with another key is asked for at once.

    It ends for all names in it.

    \b
    Example:
      certworker revoke api.example.org --reason keyCompromise
    """
    settings = load(os.environ)
    # What is there may have come from another CA than today's.
    name = normalize(name, private=True)
    stored = CertificateStore(settings.certificates_dir).current(name)
    if stored is None:
        say(f"{name} has no certificate here. See what has one: certworker status", err=True)
        sys.exit(1)
    choice = ca_choice(settings, stored.metadata.authority)
    with connected(settings.redis) as connection:
        # Without Redis nothing would follow the revocation.
        connection.ping()
        with connect_to_ca(settings, choice) as authority:
            first = authority.custody.revoke(stored.certificate, reason)
        say(
            f"{', '.join(stored.metadata.names)}: {'' if first else 'already '}revoked at {choice.title}, "
            f"serial {stored.metadata.serial}"
        )
        _follow_up(connection, stored.metadata.names, remove)


def _follow_up(connection: Redis, names: tuple[str, ...], remove: bool) -> None:
    if remove:
        for name in names:
            request_removal(name, by=caller_identity("revoke"), connection=connection)
    else:
        request_certificate(names, force=True, by=caller_identity("revoke"), connection=connection)
    what = "removal" if remove else "a new certificate"
    say(f"{what} requested; to see how it stands: certworker status {names[0]}")
