"""
`certworker account`: the account at the CA.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from certworker.acme.account_admin import AccountInfo
from certworker.acme.client import AcmeClient
from certworker.cli.output import say, say_json
from certworker.issuance.issuer_factory import acme_client_for
from certworker.settings import CaChoice, Settings, load
from certworker.validity import now_in_utc

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


def ca_choice(settings: Settings, label: str | None) -> CaChoice:
    """
    Return the CA with *label* in *settings*; the first CA if *label* is None.

    Raises:
        click.ClickException: No CA has this label.
    """
    if label is None:
        return settings.authority
    known = {choice.label: choice for choice in settings.authorities}
    if label not in known:
        raise click.ClickException(
            f"{label} is not a configured CA ({', '.join(known)}). To use it for this command, set its label "
            "or its directory URL: CERTWORKER_AUTHORITY=… certworker …"
        )
    return known[label]


@contextmanager
def connect_to_ca(settings: Settings, choice: CaChoice) -> Iterator[AcmeClient]:
    """
    Yield a client for the CA *choice*. The client has not sent a request yet.
    """
    if choice.directory_url:
        yield acme_client_for(settings, choice, choice.directory_url, now_in_utc)
        return
    # The development CA runs inside the worker. An instance with the same keys and accounts is equivalent.
    from certworker.devca.authority import DevelopmentAuthority

    with DevelopmentAuthority(settings.state_dir / "development", clock=now_in_utc) as embedded:
        yield acme_client_for(settings, choice, embedded.directory_url, now_in_utc)


@click.group()
@click.option(
    "--authority",
    "label",
    metavar="LABEL",
    help="One of the CAs in CERTWORKER_AUTHORITY, for example letsencrypt; by default, the first one.",
)
@click.pass_context
def command(context: click.Context, label: str | None) -> None:
    """
    Show the account at the CA, change its key, or deactivate it.

    The first order creates the account. Its contact is the address in _APP_EMAIL_CERTIFICATES, if any.

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
    Show the account as the CA reports it.

    \b
    Example:
      certworker account show
    """
    info, choice = _info(*chosen), chosen[1]
    if as_json:
        say_json(_json(info, choice))
        return
    fields = {
        "CA": choice.title,
        "account": info.url,
        "status": info.status,
        "contact": ", ".join(info.contacts) or "none",
        "thumbprint": info.thumbprint,
        "key": info.key_path,
    }
    for label, value in fields.items():
        say(f"{label:<12} {value}")


@command.command()
@json_option
@click.pass_obj
def rotate_key(chosen: tuple[Settings, CaChoice], as_json: bool) -> None:
    """
    Give the account a new key; the old key is invalid afterward.

    If the command is interrupted, the next use of the account finds out which of the two keys the CA knows.

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
        say(f"The account at {chosen[1].title} has a new key; the URL of the account stays the same.")


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@click.pass_obj
def deactivate(chosen: tuple[Settings, CaChoice], yes: bool, as_json: bool) -> None:
    """
    Deactivate the account; this cannot be undone.

    Its certificates stay valid, and the next order creates another account.

    \b
    Example:
      certworker account deactivate --yes
    """
    info = _info(*chosen)
    if not yes:
        question = f"Deactivate the account {info.url} at {chosen[1].title} permanently?"
        click.confirm(question, abort=True, err=True)
    with connect_to_ca(*chosen) as authority:
        key_path = authority.account_admin.deactivate()
    if as_json:
        say_json(_json(info, chosen[1]) | {"status": "deactivated", "key_path": str(key_path)})
    else:
        say(f"The account at {chosen[1].title} is deactivated; its key is in {key_path}")


def _json(info: AccountInfo, choice: CaChoice) -> dict[str, object]:
    return {
        "authority": choice.label,
        "account": info.url,
        "status": info.status,
        "contacts": list(info.contacts),
        "thumbprint": info.thumbprint,
        "key_path": str(info.key_path),
    }


def _info(settings: Settings, choice: CaChoice) -> AccountInfo:
    with connect_to_ca(settings, choice) as authority:
        info = authority.account_admin.info()
    if info is None:
        say(f"There is no account at {choice.title}; the next order creates one.", err=True)
        sys.exit(1)
    return info
