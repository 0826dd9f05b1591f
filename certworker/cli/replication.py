"""
`certworker replication`: the key for the replication to other hosts.
"""

from __future__ import annotations

import click

from certworker.cli.output import say
from certworker.replication.sealing import ReplicationKeys


@click.group()
def command() -> None:
    """
    Make a key for the replication of certificates to other hosts.

    \b
    Example:
      certworker replication key
    """


@command.command()
def key() -> None:
    """
    Print a new key for CERTWORKER_REPLICATION_KEY.

    All hosts need the same key. It decrypts the private keys in Redis, so store it like a private key.

    \b
    Example:
      certworker replication key
    """
    say(ReplicationKeys.generate())
