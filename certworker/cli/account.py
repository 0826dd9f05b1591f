"""
`certworker account`: the account at the CA, in the hands of a person.
"""

from __future__ import annotations

import os
import sys

import click

from certworker.acme.account_admin import AccountInfo
from certworker.cli.ca import ca_choice, connect_to_ca
from certworker.cli.output import say, say_json
from certworker.settings import CaChoice, Settings, load

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


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
@json_option
@click.pass_obj
def show(chosen: tuple[Settings, CaChoice], as_json: bool) -> None:
    """
    Show the account as the CA knows it.

    \b
    Example:
      certworker account show
    """
    sheet, choice = _info(*chosen), chosen[1]
    if as_json:
        say_json(_json(sheet, choice))
        return
    facts = {
        "CA": choice.title,
        "account": sheet.url,
        "status": sheet.status,
        "contact": ", ".join(sheet.contacts) or "none",
        "thumbprint": sheet.thumbprint,
        "key": sheet.key_path,
    }
    for label, value in facts.items():
        say(f"{label:<12} {value}")


@command.command()
@json_option
@click.pass_obj
def rotate_key(chosen: tuple[Settings, CaChoice], as_json: bool) -> None:
    """
    Give the account a new key; the old key is invalid afterwards.

    If the command is interrupted, the account continues with one of the two keys.

    \b
    Example:
      certworker account rotate-key
    """
    _info(*chosen)
    with connect_to_ca(*chosen) as authority:
        authority.account_admin.rotate_key()
    if as_json:
        say_json(_json(_info(*chosen), chosen[1]))
    else:
        say(f"The account at {chosen[1].title} has a new key; its URL stays the same.")


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask for a confirmation.")
@json_option
@click.pass_obj
def deactivate(chosen: tuple[Settings, CaChoice], yes: bool, as_json: bool) -> None:
    """
    End the account; this cannot be undone.

    Its certificates stay valid, and the next order creates another account.

    \b
    Example:
      certworker account deactivate --yes
    """
    sheet = _info(*chosen)
    if not yes:
        click.confirm(f"End the account {sheet.url} at {chosen[1].title} permanently?", abort=True, err=True)
    with connect_to_ca(*chosen) as authority:
        kept = authority.account_admin.deactivate()
    if as_json:
        say_json(_json(sheet, chosen[1]) | {"status": "deactivated", "key_path": str(kept)})
    else:
        say(f"The account at {chosen[1].title} is deactivated; its key is in {kept}")


def _json(sheet: AccountInfo, choice: CaChoice) -> dict[str, object]:
    return {
        "authority": choice.label,
        "account": sheet.url,
        "status": sheet.status,
        "contacts": list(sheet.contacts),
        "thumbprint": sheet.thumbprint,
        "key_path": str(sheet.key_path),
    }


def _info(settings: Settings, choice: CaChoice) -> AccountInfo:
    with connect_to_ca(settings, choice) as authority:
        sheet = authority.account_admin.info()
    if sheet is None:
        say(f"There is no account at {choice.title} yet; the first order makes one.", err=True)
        sys.exit(1)
    return sheet
