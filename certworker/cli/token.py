"""
`certworker token`: the tokens of the page and the API.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import click

from certworker.cli.output import say, say_json
from certworker.settings import load
from certworker.settings.web import PROXY, ROLES, Role
from certworker.validity import now_in_utc
from certworker.web.server import tokens_of
from certworker.web.tokens import TENANT, TokenFile, UnusableTokens, read


@click.group()
def command() -> None:
    """
    Create, list, or revoke the tokens of the page and the API.

    The file in CERTWORKER_TOKENS_FILE has the hashes of the tokens; by default, it is in
    CERTWORKER_STATE_DIR. The running page reads a changed file immediately.

    \b
    Example:
      certworker token create --role read
    """


@command.command()
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the token may do.")
@click.option("--tenant", metavar="TENANT", help="The only tenant whose names the token may see.")
def create(role: str, tenant: str | None) -> None:
    """
    Create a token, and print it once.

    With the role read, a token sees the names. With operate, it also requests, renews, and removes them. With
    admin, it also imports certificates and sees the queue. Only the role proxy, for a proxy, gets private
    keys.

    \b
    Example:
      certworker token create --role read
      certworker token create --role operate --tenant acme
      certworker token create --role proxy
    """
    if tenant is not None and role == PROXY:
        raise click.ClickException("A proxy serves the names of all tenants. Omit --tenant.")
    if tenant is not None and not TENANT.fullmatch(tenant):
        allowed = "letters, digits, dots, hyphens, or underscores"
        raise click.UsageError(f"TENANT must consist of 1 to 100 {allowed}.")
    with _tokens() as tokens:
        token = tokens.create(cast("Role", role), tenant, now_in_utc)
    say("The token, which is shown only once:", err=True)
    say(token)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each token.")
def list_tokens(as_json: bool) -> None:
    """
    List the tokens: id, role, tenant, and date of creation.

    The list does not contain the tokens themselves, because certworker stores only their hashes.

    \b
    Example:
      certworker token list
    """
    with _tokens() as tokens:
        known = read(tokens.path)
    if known and not as_json:
        say(_line("ID", "ROLE", "TENANT", "CREATED"))
    for each in known:
        if as_json:
            more = {"tenant": each.tenant, "created": each.created or None}
            say_json({"id": each.id, "role": each.role} | more)
        else:
            say(_line(each.id, each.role, each.tenant or "all names", each.created))
    if not known and not as_json:
        say("No token exists. To create one: certworker token create --role read")


@command.command()
@click.argument("token_id", metavar="ID")
def revoke(token_id: str) -> None:
    """
    Revoke the token with this ID. Its sessions end immediately.

    To find the ID: certworker token list

    \b
    Example:
      certworker token revoke 0123456789ab
    """
    with _tokens() as tokens:
        if not tokens.revoke(token_id):
            raise click.ClickException("No token has this id. To list them: certworker token list")
    say(f"The token {token_id} is revoked.")


def _line(token_id: str, role: str, tenant: str, created: str) -> str:
    return f"{token_id:12}  {role:7}  {tenant:20}  {created}".rstrip()


@contextmanager
def _tokens() -> Iterator[TokenFile]:
    """
    Yield the file with the tokens; the failures of the file become messages.
    """
    tokens = tokens_of(load(os.environ))
    try:
        yield tokens
    except UnusableTokens as error:
        raise click.ClickException(f"{tokens.path} cannot be used: {error}.") from None
