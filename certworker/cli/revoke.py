"""
`certworker revoke`: revokes a certificate, and requests a new one or the removal of its names.
"""

from __future__ import annotations

import os
import sys
from shlex import quote

import click
from redis import Redis

from certworker.acme.account_admin import REASONS
from certworker.cli.account import ca_choice, connect_to_ca
from certworker.cli.arguments import caller_identity
from certworker.cli.output import say, say_json
from certworker.domains import normalize
from certworker.redis.client import connected
from certworker.settings import load
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.inventory import names_served
from certworker.storage.keypair import StoredCertificate
from certworker.worker.producer import request_certificate, request_removal


@click.command()
@click.argument("name")
@click.option(
    "--reason",
    type=click.Choice(list(REASONS)),
    default="unspecified",
    help="The reason that the CA publishes.",
)
@click.option(
    "--remove", is_flag=True, help="Remove the names of the certificate; request no new certificate."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(name: str, reason: str, remove: bool, as_json: bool) -> None:
    """
    Revoke the certificate of NAME at its CA, and request a new one with another key.

    The revocation affects all names in the certificate.

    \b
    Example:
      certworker revoke api.example.org --reason keyCompromise
    """
    settings = load(os.environ)
    # The certificate may be from a private CA of earlier settings.
    name = normalize(name, private=True, wildcards=True)
    store = CertificateStore(settings.certificates_dir)
    stored = store.current(name)
    if stored is None or stored.metadata.is_imported or not stored.metadata.authority:
        say(_refusal(name, stored, store), err=True)
        sys.exit(1)
    choice, metadata = ca_choice(settings, stored.metadata.authority), stored.metadata
    with connected(settings.redis) as connection:
        # Without Redis, no new certificate would follow the revocation.
        connection.ping()
        with connect_to_ca(settings, choice) as authority:
            first = authority.account_admin.revoke(stored.certificate, reason)
        if not as_json:
            already = "" if first else "already "
            names = ", ".join(metadata.names)
            say(f"{names}: {already}revoked at {choice.title}, serial {metadata.serial}")
        followed = names_served(store, metadata)
        jobs = _follow_up(connection, followed, remove)
    if as_json:
        fields = {
            "name": name,
            "names": list(metadata.names),
            "serial": metadata.serial,
            "authority": choice.label,
            "already_revoked": not first,
            "requested": "removal" if remove else "certificate",
            "jobs": jobs,
        }
        say_json(fields)
    else:
        requested = "The removal" if remove else "A new certificate"
        say(f"{requested} is requested. To see its state: certworker status {quote(followed[0])}")


def _refusal(name: str, stored: StoredCertificate | None, store: CertificateStore) -> str:
    """
    Return why certworker cannot revoke the certificate of *name*, and what the user can do.

    Args:
        name: The name.
        stored: The certificate in service for *name*; None if there is none.
        store: The certificates on the volume.
    """
    if stored is None and (wildcard := store.covered.wildcard_of(name)):
        return f"{name} is covered by {wildcard}. To revoke the wildcard: certworker revoke {quote(wildcard)}"
    if stored is None:
        return f"{name} has no certificate here. To see the state of each name: certworker status"
    issuer = stored.metadata.issuer
    if stored.metadata.is_imported:
        return (
            f"{name} has an imported certificate. Revoke it at its CA ({issuer}), then import its successor: "
            f"certworker import {quote(name)} --cert FILE --key FILE"
        )
    return (
        f"{name} has a certificate that another program requested. Revoke it at its CA ({issuer}). "
        f"To replace it: certworker request --force {quote(name)}"
    )


def _follow_up(connection: Redis, names: tuple[str, ...], remove: bool) -> list[str]:
    """
    Request what follows the revocation; return the ids of the jobs.
    """
    by = caller_identity("revoke")
    if remove:
        return [request_removal(name, by=by, connection=connection) for name in names]
    return [request_certificate(names, force=True, by=by, connection=connection)]
