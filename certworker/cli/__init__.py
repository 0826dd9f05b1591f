"""
The commands. Each has its module, which is imported when the command runs.

In the order in which they may import each other::

    ca           The CA that a command speaks to by itself, without the worker
    demo         `certworker demo`: Redis, a CA, the worker and a TLS server on one machine, in one …
    output       What commands print: text on one line each, printable, and JSON
    progress     One line on the terminal for work that takes long: how much is done, what failed, the …
    work         ★ `certworker work`: the worker, from the first line of its log to the last
    account      `certworker account`: the account at the CA, in the hands of a person
    arguments    The names that a command is given: typed, or in a file
    doctor       `certworker doctor`: what is wrong, and what to change
    explain      `certworker explain`: the history of a name with the remedy on top, or the page of an error …
    health       `certworker health`: the container's health check, without a shell and without curl
    notify       `certworker notify`: the ways by which people are notified
    outcome      What a person or a program reads of the requests that a command made: that they wait, …
    watching     `certworker status --watch`: the progress of many names until nothing is left to wait …
    names_table  Names and their states as text: one by one, or as a table that fits the terminal
    remove       `certworker remove`: takes names out of service
    request      `certworker request`: puts names on the queue, and waits for their certificates with …
    resume       `certworker resume`: orders again for a name that the CA has paused
    revoke       `certworker revoke`: revokes a certificate, and requests a new one
    status       `certworker status`: the state of each name, for people and for programs
"""

from __future__ import annotations

import importlib
import os
import signal
import sys

import click

from certworker.version import __version__

COMMANDS = {
    "work": "Take requests from the queue and keep their certificates.",
    "request": "Request certificates.",
    "remove": "Take names out of service.",
    "resume": "Order again for a name that the CA has paused.",
    "revoke": "Revoke a certificate, and request a new one with another key.",
    "account": "Show the account at the CA, change its key, or end it.",
    "status": "Show which certificates are in service, until when, and what failed.",
    "explain": "Show what happened to a name, or what an error code means.",
    "doctor": "Check settings, volumes, Redis and the CA, and say what to change.",
    "notify": "Try the notifications by mail and by webhook.",
    "health": "Ask the running worker whether it is well (for the container).",
    "demo": "Show the whole of it on this machine: no domain, no Docker, no Internet.",
}

#: They report suspicious variables in their own form, or have settings of their own.
WITHOUT_WARNINGS = {"work", "doctor", "demo"}


class LazyGroup(click.Group):
    """
    A group whose commands are imported one by one: `--help` needs none of them.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """
        The commands in the order in which a newcomer meets them.
        """
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """
        The command *cmd_name*, or None.
        """
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"certworker.cli.{cmd_name}").command
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
    Gets TLS certificates for the domains on a Redis queue and hands them to Traefik.

    All settings come from the environment; .env.example lists them with a sentence each.

    \b
    Example:
      certworker demo
    \b
    Exit codes:
      0  done: issued, kept, or all is well
      1  failed, or warnings only (doctor)
      2  wrong usage or settings, or failures found (doctor)
    """
    if ctx.invoked_subcommand in COMMANDS and ctx.invoked_subcommand not in WITHOUT_WARNINGS:
        _warn_about_the_environment()


def _warn_about_the_environment() -> None:
    # Settings take a while to import, and `--help` needs none.
    if not {"-h", "--help"}.isdisjoint(sys.argv):
        return
    from certworker.cli.output import say
    from certworker.settings import environment_warnings

    for warning in environment_warnings(os.environ):
        say(f"Warning: {warning}", err=True)


def main() -> None:
    """
    The entry point: errors become sentences and exit codes, never stack traces.
    """
    from certworker.cli.output import reference, say
    from certworker.errors import CertworkerError

    # In a container this is process 1, for which the kernel ignores SIGTERM until a handler is there.
    if sys.argv[1:2] == ["work"]:
        # The worker has its own handlers as soon as it has something to finish. Until then an exception might
        # be raised where none is expected, and be printed.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        cli(standalone_mode=True)
    except CertworkerError as failure:
        say(f"certworker: {failure} More: {reference(failure.code)}", err=True)
        sys.exit(2 if failure.code.startswith("config.") else 1)
