"""
Does a custom domain point to this Appwrite, as `_APP_DOMAIN_TARGET…` wants it?

An alias for the target, or the same addresses: a provider that flattens aliases shows the second only, and
the domain works all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from certworker.checks.records import Records
from certworker.checks.verdict import Question, Verdict
from certworker.errors.zones import CnameTarget, WrongAddress


@dataclass(frozen=True)
class Target:
    """
    Where custom domains are to point.
    """

    #: The name that they are to be an alias of; empty: any.
    cname: str = ""
    #: The addresses of this server; none: unknown.
    addresses: tuple[str, ...] = ()


def check_target(
    question: Question, target: Target, main_domains: Sequence[str], look_up: Callable[[str], Records]
) -> Verdict:
    """
    Judge whether the name in *question* points to *target*.

    The target is demanded by Appwrite, not by the CA: a proxy in between may well bring the challenge.

    Args:
        main_domains: These are Appwrite's own, and are targets themselves.
        look_up: What DNS says of a name.
    """
    records = question.records
    nothing_to_compare = not (target.cname or target.addresses) or records.view is None
    if nothing_to_compare or question.name in (*main_domains, target.cname):
        return Verdict.yes("")
    if target.cname and target.cname in (records.view.aliases if records.view else ()):
        return Verdict.yes("")
    behind = look_up(target.cname).addresses if target.cname else ()
    if set(records.addresses) & {*target.addresses, *behind}:
        return Verdict.yes("")
    return Verdict.likely_no(
        CnameTarget(
            name=question.name,
            expected=_expected(question.name, target, behind),
            found=_found(records),
            record=_record(question.name, target),
        )
    )


def elsewhere(name: str, address: str, ours: Sequence[str]) -> WrongAddress | None:
    """
    That *address* of *name* is another server's; None if it is one of *ours*, or those are unknown.
    """
    version = ip_address(address).version
    expected = [each for each in ours if ip_address(each).version == version]
    if not expected or address in expected:
        return None
    return WrongAddress(
        name=name, found=address, expected=" or ".join(expected), kind="A" if version == 4 else "AAAA"
    )


def _expected(name: str, target: Target, behind: Sequence[str]) -> str:
    told = [f"CNAME {name} → {target.cname}"] if target.cname else []
    told += [f"{_kind(each)} {each}" for each in dict.fromkeys((*target.addresses, *behind))]
    return " or ".join(told)


def _found(records: Records) -> str:
    aliases = records.view.aliases if records.view else ()
    told = [f"CNAME {each}" for each in aliases[:1]]
    return ", ".join([*told, *(f"{_kind(each)} {each}" for each in records.addresses)]) or "nothing"


def _record(name: str, target: Target) -> str:
    if target.cname:
        return f"{name}. CNAME {target.cname}."
    return f"{name}. {_kind(target.addresses[0])} {target.addresses[0]}"


def _kind(address: str) -> str:
    return "A" if ip_address(address).version == 4 else "AAAA"
