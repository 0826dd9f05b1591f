"""
`certworker resume`: orders again for a name that the CA has paused.
"""

from __future__ import annotations

import os

import click

from certworker.allowance import budget_of
from certworker.cli.given import asker
from certworker.cli.output import say
from certworker.desks.opening import forget_pending_order
from certworker.intake.connection import connected
from certworker.intake.queue import request_certificate
from certworker.ledger.record import Records
from certworker.names import domain_name
from certworker.serving.volume import Volume
from certworker.settings import load


@click.command()
@click.argument("name")
def command(name: str) -> None:
    """
    Order again for NAME, which the CA has paused.

    First mend the cause of the failures and open the CA's link, which certworker status NAME shows.

    \b
    Example:
      certworker resume api.example.org
    """
    settings = load(os.environ)
    name = domain_name(name, private=True)
    with connected(settings) as connection:
        record = Records(connection).read(name)
        names = record.names if record else (name,)
        volume = Volume(settings.certificates_dir)
        budgets = [budget_of(settings, choice, connection, volume) for choice in settings.authorities]
        resumed = [budget.resume(names) for budget in budgets]
        if not any(resumed):
            say(f"{name} is not paused. To see how it stands: certworker status {name}")
            return
        for choice in settings.authorities:
            forget_pending_order(settings, choice, connection, names)
        request_certificate(names, by=asker("resume"), connection=connection)
    say(f"{', '.join(names)}: requested; to see how it stands: certworker status {name}")
