"""
`certworker notify`: test notifications.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import click

from certworker.cli.output import say
from certworker.notify.notifier import in_words, receivers, trial_notification, undelivered
from certworker.settings import load


@click.group()
def command() -> None:
    """
    Test the notifications by mail and by webhook.

    \b
    Example:
      certworker notify test
    """


@command.command("test")
def test() -> None:
    """
    Send a test notification through each configured channel.

    The command needs neither Redis nor a running worker. The exit code is 1 if a channel fails, and 2 if no
    channel is set.

    \b
    Example:
      certworker notify test
    """
    settings = load(os.environ)
    channels = receivers(settings)
    if not channels:
        say(
            "No channel is set. Set _APP_SMTP_HOST and _APP_EMAIL_CERTIFICATES, or CERTWORKER_NOTIFY_URL.",
            err=True,
        )
        sys.exit(2)
    notification, failed = trial_notification(settings, datetime.now(UTC)), False
    for name, receiver in channels.items():
        try:
            receiver.send([notification])
        except OSError as fault:
            failed = True
            say(f"{in_words(name)}: {undelivered(name, fault)}", err=True)
        else:
            say(f"{in_words(name)}: {receiver.address} accepted the test notification {notification.id}")
    sys.exit(1 if failed else 0)
