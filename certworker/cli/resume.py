"""
`certworker resume`: orders again for a name that the CA has paused.
"""

from __future__ import annotations

import os

import click

from certworker.cli.arguments import caller_identity
from certworker.cli.outcome import json_option, show_requested
from certworker.cli.output import say, say_json
from certworker.domains import normalize
from certworker.issuance.issuer_factory import forget_pending_order
from certworker.ratelimits.budget import Budget
from certworker.redis.client import connected
from certworker.settings import load
from certworker.state.domain_records import DomainRecords
from certworker.storage.certificate_store import CertificateStore
from certworker.worker.producer import request_certificate


@click.command()
@click.argument("name")
@json_option
def command(name: str, as_json: bool) -> None:
    """
    Order again for NAME, which the CA has paused.

    First fix the cause of the failures and open the link of the CA, which certworker status NAME shows.

    \b
    Example:
      certworker resume api.example.org
    """
    settings = load(os.environ)
    name = normalize(name, private=True, wildcards=True)
    with connected(settings.redis) as connection:
        record = DomainRecords(connection).read(name)
        names = record.names if record else (name,)
        volume = CertificateStore(settings.certificates_dir)
        budgets = [Budget.for_issuer(settings, choice, connection, volume) for choice in settings.authorities]
        resumed = [budget.resume(names) for budget in budgets]
        if not any(resumed):
            if as_json:
                say_json({"name": name, "names": list(names), "state": "not_paused"})
            else:
                say(f"{name} is not paused. To see its state: certworker status {name}")
            return
        for choice in settings.authorities:
            forget_pending_order(settings, choice, connection, names)
        job_id = request_certificate(names, by=caller_identity("resume"), connection=connection)
        show_requested(connection, [(job_id, names)], "requested", as_json=as_json)
