"""
`certworker dns` and `certworker records`: the DNS provider for DNS-01, and the records that names need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from certworker.cli.output import say, say_json
from certworker.dns01.acme_dns import AcmeDns
from certworker.dns01.solver_factory import build_providers, solver_of
from certworker.doctor.records import RecordCheck, reason_for_none
from certworker.domains import normalize, tenant_of
from certworker.domains.wildcard import base_name
from certworker.errors import CertworkerError
from certworker.redis.client import connected
from certworker.settings import Settings, load

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")


@click.group()
def command() -> None:
    """
    Test the DNS provider for DNS-01, or register a name with acme-dns.

    \b
    Example:
      certworker dns test example.org
    """


@command.command("test")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def test(names: Sequence[str], as_json: bool) -> None:
    """
    Test the DNS provider of each NAME with a harmless TXT record.

    The command creates the record, waits until all authoritative name servers return it, and deletes it,
    except from acme-dns. It needs Redis to lock the zone, because only one process at a time may change a
    zone. The exit code is 1 if a test fails.

    \b
    Example:
      certworker dns test '*.example.org'
    """
    settings, failed = load(os.environ), False
    with connected(settings.redis) as connection:
        solver = solver_of(settings, connection)
        for given in names:
            try:
                name = base_name(_normalized(given, settings))
                result = solver.test_provider(name)
            except CertworkerError as failure:
                failed = True
                if as_json:
                    say_json({"name": given, "ok": False, **failure.as_json()})
                else:
                    say(f"{given}: {failure}", err=True)
                continue
            if as_json:
                location, label = result.plan.location, result.plan.served.label
                seconds = {
                    f"{step}_s": round(getattr(result, step), 3) for step in ("created", "visible", "deleted")
                }
                record = {"provider": label, "record": location.fqdn, "zone": location.zone}
                say_json({"name": name, "ok": True, **record, **seconds})
            else:
                say(f"{name}: {result}")
    sys.exit(1 if failed else 0)


@command.command("register")
@click.argument("name")
def register(name: str) -> None:
    """
    Register NAME with acme-dns, and print the CNAME record to create.

    If the file in ACME_DNS_STORAGE_PATH contains an account for NAME, the command uses that account.

    \b
    Example:
      certworker dns register example.org
    """
    settings = load(os.environ)
    providers = build_providers(settings.dns01, settings.ca_bundle)
    provider = next((each for each in providers if isinstance(each, AcmeDns)), None)
    if provider is None:
        raise click.UsageError("CERTWORKER_DNS01_PROVIDER does not contain acme-dns.")
    domain = base_name(_normalized(name, settings))
    say(f"_acme-challenge.{domain}. CNAME {provider.register(domain)}.")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--tenant", help="The tenant that owns the names; by default, the tenant of the last request.")
@json_option
def records(names: Sequence[str], tenant: str | None, as_json: bool) -> None:
    """
    Print the DNS records that the owner of each NAME must create, and which of them exist.

    Each record is a line of a zone file, with its state as a comment: right, wrong or missing. For a name
    without such a record, the line has the reason. The command queries the authoritative name servers, not a
    cache.

    A name that uses HTTP-01 needs a CNAME record to _APP_DOMAIN_TARGET_CNAME. Without this setting, or at the
    apex of a zone, which cannot have a CNAME record, it needs address records. These have the addresses in
    _APP_DOMAIN_TARGET_A and _APP_DOMAIN_TARGET_AAAA, or those of the target. A wildcard, or another name that
    uses DNS-01, needs no record in a zone of the DNS provider. In any other zone, it needs the CNAME that
    delegates the challenge. If the existing CAA records forbid the CA, the name needs another CAA record.
    With CERTWORKER_OWNERSHIP=txt, a name of a tenant needs the TXT record that names the tenant.

    The exit code is 1 if a record is missing or wrong, or if the records of a name cannot be determined.

    \b
    Example:
      certworker records shop.example.org
    """
    settings, wrong = load(os.environ), False
    with connected(settings.redis) as connection:
        check = RecordCheck(settings, connection)
        for given in names:
            try:
                name = _normalized(given, settings)
                needed = check(name, None if tenant is None else tenant_of(tenant, [name]))
            except CertworkerError as failure:
                wrong = True
                if as_json:
                    say_json({"name": given, "records": [], **failure.as_json()})
                else:
                    say(f"{given}: {failure}", err=True)
                continue
            wrong = wrong or any(each.state != "right" for each in needed)
            if as_json:
                say_json({"name": name, "records": [asdict(each) for each in needed]})
            else:
                for line in [each.zone_line for each in needed] or [
                    f"{name}: {reason_for_none(settings, name)}"
                ]:
                    say(line)
    sys.exit(1 if wrong else 0)


def _normalized(given: str, settings: Settings) -> str:
    return normalize(given, private=settings.authority.private_names, wildcards=settings.dns01.is_set)
