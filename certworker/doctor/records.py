"""
The DNS records that the owner of a name must create, and which of them exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from certworker.dns.records import DnsRecords
from certworker.dns01.solver import Plan
from certworker.domains.wildcard import base_name
from certworker.preflight.target import Target, target_of
from certworker.settings import Settings


@dataclass(frozen=True)
class NeededRecord:
    """
    A DNS record that a name needs.
    """

    #: Without a final dot.
    owner: str
    kind: Literal["A", "AAAA", "CNAME"]
    value: str
    #: `right`; `wrong`: other records exist; `missing`.
    state: Literal["right", "wrong", "missing"]
    #: What exists instead; empty if nothing does.
    found: str = ""


def needed_records(
    settings: Settings, name: str, look_up: Callable[[str], DnsRecords], plan_record: Callable[[str], Plan]
) -> Iterator[NeededRecord]:
    """
    Yield the records that the owner of the normalized *name* must create.

    For HTTP-01 these are the address records, or the CNAME, of the target for custom domains. For DNS-01 it
    is the CNAME that delegates the challenge to the zone of a provider. It is needed if no provider serves
    the zone of the name.

    Args:
        look_up: Returns the DNS records of a name.
        plan_record: Returns where the TXT record of a challenge would be created.

    Raises:
        CertworkerError: DNS does not answer.
    """
    if settings.dns01.prove(name):
        yield from _delegation(settings, base_name(name), plan_record)
        return
    target, _ = target_of(settings.targets, private=settings.authority.private_names)
    yield from _addresses(name, target, look_up(name))


def _delegation(settings: Settings, name: str, plan_record: Callable[[str], Plan]) -> Iterator[NeededRecord]:
    zones = [choice.zone for choice in settings.dns01.providers if choice.zone]
    plan = plan_record(name)
    aliases = plan.location.aliases
    if plan.provider and not aliases:
        return  # The provider changes the zone of the name itself.
    if plan.provider:
        yield NeededRecord(plan.location.name, "CNAME", aliases[0], "right")
    elif zones:
        state: Literal["wrong", "missing"] = "wrong" if aliases else "missing"
        yield NeededRecord(
            plan.location.name,
            "CNAME",
            f"{plan.location.name}.{zones[0]}",
            state,
            aliases[0] if aliases else "",
        )
    else:
        plan.served  # noqa: B018 (raises why there is no record to create)


def _addresses(name: str, target: Target, records: DnsRecords) -> Iterator[NeededRecord]:
    view = records.view
    found = view.addresses if view else ()
    aliases = view.aliases if view else ()
    if target.cname and target.cname != name:
        is_right = target.cname in aliases or bool(target.addresses and set(found) == set(target.addresses))
        yield _needed(name, "CNAME", target.cname, is_right, aliases[-1:] or found)
        return
    for address in target.addresses:
        kind: Literal["A", "AAAA"] = "AAAA" if ":" in address else "A"
        others = tuple(each for each in found if (":" in each) == (":" in address))
        yield _needed(name, kind, address, address in found, others)


def _needed(
    owner: str, kind: Literal["A", "AAAA", "CNAME"], value: str, is_right: bool, found: tuple[str, ...]
) -> NeededRecord:
    if is_right:
        return NeededRecord(owner, kind, value, "right")
    return NeededRecord(owner, kind, value, "wrong" if found else "missing", ", ".join(found))
