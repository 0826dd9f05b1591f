"""
The commands. Each module is imported when its command runs, so that `--help` is fast.

In import order (★ to read first)::

    demo         `certworker demo`: Redis, a CA, the worker and a TLS server on one machine
    output       The output of commands: printable lines, JSON, and the progress line of long commands
    work         ★ `certworker work`: the worker, with its options and exit codes
    account      `certworker account`: the account at the CA
    arguments    The arguments and options of several commands: names, a file with names, and a time limit
    dns          `certworker dns` and `certworker records`: the DNS provider, and the records that names need
    doctor       `certworker doctor`: the checks of the installation, with remedies
    timings      `certworker explain --timings`: how long each step of the last attempts took
    explain      `certworker explain`: the history of a name, or the page of an error code
    health       `certworker health`: the health check of the container
    notify       `certworker notify`: test notifications
    nodes        `certworker status --nodes`: the hosts with volumes of their own
    outcome      The output of commands that make requests: positions in the queue, and outcomes
    importing    `certworker import`: a certificate of the operator's own
    mirror       `certworker mirror`: serves the certificates of other hosts on this one
    names_table  The states of names as text: the details of one name, or a table that fits the terminal
    replication  `certworker replication`: the key for the replication to other hosts
    request      `certworker request`, `remove` and `resume`: requests for the worker
    revoke       `certworker revoke`: revokes a certificate, then requests a new one or a removal
    status       `certworker status`: the state of each name, and the progress of all
    token        `certworker token`: the tokens of the page and the API
    web          `certworker web`: the page and the API without a worker
"""

from __future__ import annotations

import importlib
import os
import signal
import sys

import click

from certworker.version import __version__

COMMANDS = {
    "work": "Take requests from the queue, and issue and renew the certificates.",
    "request": "Request certificates.",
    "remove": "Remove names from the proxy and from the volume.",
    "resume": "Resume the orders for a name that the CA has paused.",
    "import": "Import a certificate of your own, which certworker does not renew.",
    "revoke": "Revoke a certificate, and request a new one with another key.",
    "account": "Show the account at the CA, change its key, or deactivate it.",
    "status": "Show which certificates are in service, when they expire, and what failed.",
    "explain": "Show what happened to a name, or what an error code means.",
    "doctor": "Check settings, volumes, Redis, the CA, and names, and show remedies.",
    "records": "Print the DNS records that names need, and which of them exist.",
    "dns": "Test the DNS provider for DNS-01, or register a name with acme-dns.",
    "mirror": "Serve the certificates that workers on other hosts issue.",
    "replication": "Make a key for the replication to other hosts.",
    "web": "Serve the page and the API without a worker.",
    "token": "Create, list, or revoke the tokens of the page and the API.",
    "notify": "Test the notifications by mail and by webhook.",
    "health": "Check whether the running worker is healthy (the health check of the container).",
    "demo": "Show an issuance and a renewal on this machine: no domain, no Docker, no Internet.",
}

#: The module and the function of each command whose module has another name.
PLACES = {
    "remove": ("request", "remove"),
    "resume": ("request", "resume"),
    "records": ("dns", "records"),
    "import": ("importing", "command"),
}

#: These commands report suspicious variables themselves, or have their own settings.
WITHOUT_WARNINGS = {"work", "doctor", "demo"}


class LazyGroup(click.Group):
    """
    A group that imports a command when it runs; `certworker --help` imports none.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """
        Return the names of the commands, in the order of :data:`COMMANDS`.
        """
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """
        Return the command *cmd_name*; None if there is none.
        """
        if cmd_name not in COMMANDS:
            return None
        module, function = PLACES.get(cmd_name, (cmd_name, "command"))
        command: click.Command = getattr(importlib.import_module(f"certworker.cli.{module}"), function)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """
        List the commands without importing them.
        """
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="certworker", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """
    Issue TLS certificates for the domains on a Redis queue, and serve them through Traefik.

    All settings come from the environment; .env.example describes them.

    \b
    Example:
      certworker demo
    \b
    Exit codes:
      0  success
      1  failed, or warnings found (doctor --strict)
      2  wrong usage or settings, an unwritable directory (work), or failures found (doctor)
    """
    if ctx.invoked_subcommand in COMMANDS and ctx.invoked_subcommand not in WITHOUT_WARNINGS:
        _warn_about_the_environment()


def _warn_about_the_environment() -> None:
    # The import of the settings is slow, and `--help` does not need them.
    if not {"-h", "--help"}.isdisjoint(sys.argv):
        return
    from certworker.cli.output import say
    from certworker.settings import environment_warnings

    for warning in environment_warnings(os.environ):
        say(f"Warning: {warning}", err=True)


def main() -> None:
    """
    Run a command; expected errors become messages and exit codes instead of tracebacks.
    """
    from certworker.cli.output import reference, say
    from certworker.errors import CertworkerError

    # In a container, this is process 1, to which the kernel delivers no SIGTERM without a handler.
    if sys.argv[1:2] in (["work"], ["mirror"]):
        # The worker and the mirror set their own handlers when they start. Until then, an exception from a
        # handler would print a traceback.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        cli(standalone_mode=True)
    except CertworkerError as failure:
        say(f"certworker: {failure} More: {reference(failure.code)}", err=True)
        sys.exit(2 if failure.code.startswith("config.") else 1)
