"""
`certworker mirror`: serves the certificates of other hosts on this one.
"""

from __future__ import annotations

import os
import sys
import threading

import click

from certworker.cli.work import exit_code_of, log_thread_exception
from certworker.errors.config import InvalidSettings
from certworker.mirroring import run_mirror
from certworker.observability import log
from certworker.settings import load

MISSING_KEY = (
    "CERTWORKER_REPLICATION_KEY must be the key of the workers; to make a new one: certworker replication key"
)


@click.command()
def command() -> None:
    """
    Serve the certificates that workers on other hosts issue.

    The mirror receives the certificates through Redis, encrypted with CERTWORKER_REPLICATION_KEY. It writes
    the same files as a worker, and responds to the challenges of the workers. It needs no account at a CA. It
    runs until SIGTERM.

    \b
    Example:
      certworker mirror
    """
    settings = load(os.environ)
    if settings.replication.key is None:
        raise InvalidSettings([MISSING_KEY])
    log.configure(settings.log, settings.log_level, sys.stdout, settings.docs_url)
    threading.excepthook = log_thread_exception
    sys.exit(exit_code_of("the mirror", lambda: run_mirror(settings)))
