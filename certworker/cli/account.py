"""
`certworker account`: the account at the CA, in the hands of a person.
"""

from __future__ import annotations

import os
import sys

import click

from certworker.acme.account_admin import AccountInfo
from certworker.cli.ca import ca_choice, connect_to_ca
from certworker.cli.output import say
from certworker.settings import CaChoice, Settings, load


@click.group()
@click.option(
    "--authority",
    "label",
    metavar="LABEL",
    help="Which of the CAs of CERTWORKER_AUTHORITY, for example letsencrypt; otherwise the first.",
)
@click.pass_context
def command(context: click.Context, label: str | None) -> None:
    """
    Show the account at the CA, change its key, or end it.

    It is made by the first order. Its contact follows _APP_EMAIL_CERTIFICATES.

    \b
    Example:
      certworker account show
    """
    settings = load(os.environ)
    context.obj = settings, ca_choice(settings, label)


@command.command()
@click.pass_obj
def show(chosen: tuple[Settings, CaChoice]) -> None:
    """
    Show the account as the CA knows it.

    \b
    Example:
      certworker account show
    """
    sheet = _info(*chosen)
    facts = {
        "CA": chosen[1].title,
        "account": sheet.url,
        "status": sheet.status,
        "contact": ", ".join(sheet.contacts) or "none",
        "thumbprint": sheet.thumbprint,
        "key": sheet.key_path,
    }
    for label, value in facts.items():
        say(f"{label:<12} {value}")


@command.command()
@click.pass_obj
def rotate_key(chosen: tuple[Settings, CaChoice]) -> None:
    """
    Give the account a new key; the old key is invalid afterwards.

    If the command is interrupted, the account continues with one of the two keys.

    \b
    Example:
      certworker account rotate-key
    """
    _info(*chosen)
    with connect_to_ca(*chosen) as authority:
        authority.custody.rotate_key()
    say(f"The account at {chosen[1].title} has a new key; its URL stays the same.")


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask for a confirmation.")
@click.pass_obj
def deactivate(chosen: tuple[Settings, CaChoice], yes: bool) -> None:
    """
    End the account; this cannot be undone.

    Its certificates stay valid, and the next order creates another account.

    \b
    Example:
      certworker account deactivate --yes
    """
    sheet = _info(*chosen)
    if not yes:
        click.confirm(f"End the account {sheet.url} at {chosen[1].title} permanently?", abort=True)
    with connect_to_ca(*chosen) as authority:
        kept = authority.custody.deactivate()
    say(f"The account at {chosen[1].title} has been ended; its key is kept in {kept}")


def _info(settings: Settings, choice: CaChoice) -> AccountInfo:
    with connect_to_ca(settings, choice) as authority:
        sheet = authority.custody.info()
    if sheet is None:
        say(f"There is no account at {choice.title} yet; the first order makes one.", err=True)
        sys.exit(1)
    return sheet
