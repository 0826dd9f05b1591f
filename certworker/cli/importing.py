"""
`certworker import`: a certificate of the operator's own.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from shlex import quote

import click

from certworker.cli.arguments import caller_identity, timeout_option
from certworker.cli.outcome import show_outcomes, why_nothing_starts
from certworker.cli.output import say, say_json
from certworker.domains import normalize
from certworker.errors.imports import PemUnreadable
from certworker.issuance.importing import CertificateImport, Imported
from certworker.own_certificates import LARGEST_PEM_BYTES, Pem
from certworker.redis.client import connected
from certworker.replication.publisher import open_store
from certworker.settings import load
from certworker.storage import durable
from certworker.worker.producer import request_certificate

#: The name of the standard input as a file.
STDIN = "-"

#: The option of each part of an import.
OPTIONS = {"certificate": "--cert", "key": "--key", "chain": "--chain"}


@click.command("import")
@click.argument("name")
@click.option("--cert", required=True, metavar="FILE", help="The certificate in PEM, with its chain if any.")
@click.option("--key", required=True, metavar="FILE", help="The unencrypted private key in PEM.")
@click.option("--chain", metavar="FILE", help="The certificates of the CA, if they are in a separate file.")
@click.option("--force", is_flag=True, help="Replace a certificate that certworker renews.")
@click.option(
    "--wait", is_flag=True, help="Wait until the certificate is in service. The exit code is 1 if it is not."
)
@timeout_option
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object; with --wait, a second one with the outcome."
)
def command(
    name: str, cert: str, key: str, chain: str | None, force: bool, wait: bool, timeout: int, as_json: bool
) -> None:
    """
    Import a certificate of your own for NAME. The proxy serves the certificate; certworker does not renew it.

    FILE may be - for the standard input, even in several options. Run the command as the user of the worker.

    \b
    Example:
      certworker import api.example.org --cert fullchain.pem --key privkey.pem
    """
    settings = load(os.environ)
    name = normalize(name, private=True, wildcards=True)
    files = _Files(name)
    pem = Pem(files.read("certificate", cert), files.read("key", key), files.read("chain", chain))
    with connected(settings.redis) as connection:
        store = open_store(settings.certificates_dir, settings.replication.keys, connection)
        request = partial(request_certificate, connection=connection)
        imported = CertificateImport.into(store, connection, request).run(
            name, pem, by=caller_identity("import"), force=force
        )
        _show(name, imported, as_json=as_json)
        if wait:
            job = imported.job, (name,)
            sys.exit(0 if show_outcomes(connection, [job], timeout, as_json=as_json) else 1)
        if reason := why_nothing_starts(connection):
            say(reason, err=True)


class _Files:
    """
    The files of an import. The standard input is read once.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._stdin: bytes | None = None

    def read(self, part: str, file: str | None) -> bytes:
        """
        Return the content of *file*, which is the *part* of the import; empty if *file* is None.

        Raises:
            PemUnreadable: *file* is too large, or not a regular file.
            click.BadParameter: *file* is missing, or cannot be read.
        """
        if file is None:
            return b""
        try:
            return self._read_stdin() if file == STDIN else durable.read(Path(file), LARGEST_PEM_BYTES)
        except durable.UnsuitableFile as error:
            reason = f"{file}: {error.strerror}"
            raise PemUnreadable(part=part, name=self._name, reason=reason) from error
        except OSError as error:
            reason = f"{file} cannot be read: {error.strerror or error}. Pass the path of a readable file."
            raise click.BadParameter(reason, param_hint=OPTIONS[part]) from error

    def _read_stdin(self) -> bytes:
        if self._stdin is None:
            # One byte more than the limit: the checks of the content report an input that is too long.
            self._stdin = sys.stdin.buffer.read(LARGEST_PEM_BYTES + 1)
        return self._stdin


def _show(name: str, imported: Imported, *, as_json: bool) -> None:
    metadata = imported.metadata
    if as_json:
        fields = {
            "name": name,
            "state": "requested",
            "job": imported.job,
            "serial": metadata.serial,
            "issuer": metadata.issuer,
            "not_before": f"{metadata.not_before:%Y-%m-%dT%H:%M:%SZ}",
            "not_after": f"{metadata.not_after:%Y-%m-%dT%H:%M:%SZ}",
            "warnings": list(imported.warnings),
        }
        say_json(fields)
        return
    for warning in imported.warnings:
        say(f"Warning: {warning}", err=True)
    until = f"{metadata.not_after:%Y-%m-%d %H:%M} UTC"
    issued = f"issued by {metadata.issuer}, valid until {until}"
    say(f"{name}: stored, {issued}; see its state: certworker status {quote(name)}")
