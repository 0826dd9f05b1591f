"""
`certworker account`: the account at the CA, in the hands of a person.
"""

from __future__ import annotations

import os
import sys

import click

from certworker.acme.custody import AccountSheet
from certworker.cli.authority import choice_of, opened
from certworker.cli.output import say
from certworker.settings import AuthorityChoice, Settings, load


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
    context.obj = settings, choice_of(settings, label)


@command.command()
@click.pass_obj
def show(chosen: tuple[Settings, AuthorityChoice]) -> None:
    """
    Show the account as the CA knows it.

    \b
    Example:
      certworker account show
    """
    sheet = _sheet(*chosen)
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
def rotate_key(chosen: tuple[Settings, AuthorityChoice]) -> None:
    """
    Give the account a new key; the old key is invalid afterwards.

    If the command is interrupted, the account continues with one of the two keys.

    \b
    Example:
      certworker account rotate-key
    """
    _sheet(*chosen)
    with opened(*chosen) as authority:
        authority.custody.change_key()
    say(f"The account at {chosen[1].title} has a new key; its URL stays the same.")


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask for a confirmation.")
@click.pass_obj
def deactivate(chosen: tuple[Settings, AuthorityChoice], yes: bool) -> None:
    """
    End the account; this cannot be undone.

    Its certificates stay valid, and the next order creates another account.

    \b
    Example:
      certworker account deactivate --yes
    """
    sheet = _sheet(*chosen)
    if not yes:
        click.confirm(f"End the account {sheet.url} at {chosen[1].title} permanently?", abort=True)
    with opened(*chosen) as authority:
        kept = authority.custody.deactivate()
    say(f"The account at {chosen[1].title} has been ended; its key is kept in {kept}")


def _sheet(settings: Settings, choice: AuthorityChoice) -> AccountSheet:
    with opened(settings, choice) as authority:
        sheet = authority.custody.show()
    if sheet is None:
        say(f"There is no account at {choice.title} yet; the first order makes one.", err=True)
        sys.exit(1)
    return sheet
