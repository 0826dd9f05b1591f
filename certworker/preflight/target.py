"""
Does a custom domain point to this Appwrite, as `_APP_DOMAIN_TARGET…` wants it?

An alias for the target, or the same addresses: a provider that flattens aliases shows the second only, and
the domain works all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address

from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.errors.dns import CnameTarget, InvalidTarget, WrongAddress
from certworker.preflight.dns.records import DnsRecords
from certworker.preflight.result import CheckContext, CheckResult

CNAME, OLDER_CNAME = "_APP_DOMAIN_TARGET_CNAME", "_APP_DOMAIN_TARGET"
A, AAAA = "_APP_DOMAIN_TARGET_A", "_APP_DOMAIN_TARGET_AAAA"
CAA = "_APP_DOMAIN_TARGET_CAA"


@dataclass(frozen=True)
class Target:
    """
    Where custom domains are to point.
    """

    #: The name that they are to be an alias of; empty: any.
    cname: str = ""
    #: The addresses of this server; none: unknown.
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class _RecordType:
    wanted: str
    example: str
    read: Callable[[str], str]


def target_of(targets: Mapping[str, str], *, private: bool) -> tuple[Target, list[InvalidTarget]]:
    """
    The target in the settings, and what is wrong about them.

    Args:
        targets: The values that were set, by variable.
        private: Names that only a private network knows are as good as others.
    """
    read: dict[str, str] = {}
    wrong: list[InvalidTarget] = []
    for variable, kind in _kinds(private).items():
        if variable not in targets:
            continue
        try:
            read[variable] = kind.read(targets[variable])
        except (CertworkerError, ValueError):
            reason = f"{targets[variable]} is not {kind.wanted}"
            wrong.append(
                InvalidTarget(variable=variable, reason=reason, wanted=kind.wanted, example=kind.example)
            )
    names = [read[variable] for variable in (CNAME, OLDER_CNAME) if variable in read]
    addresses = tuple(read[variable] for variable in (A, AAAA) if variable in read)
    return Target(names[0] if names else "", addresses), wrong


def check_target(
    question: CheckContext, target: Target, main_domains: Sequence[str], look_up: Callable[[str], DnsRecords]
) -> CheckResult:
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
        return CheckResult.passed("")
    if target.cname and target.cname in (records.view.aliases if records.view else ()):
        return CheckResult.passed("")
    behind = look_up(target.cname).addresses if target.cname else ()
    if set(records.addresses) & {*target.addresses, *behind}:
        return CheckResult.passed("")
    return CheckResult.warn(
        CnameTarget(
            name=question.name,
            expected=_expected(question.name, target, behind),
            found=_found(records),
            record=_record(question.name, target),
        )
    )


def points_elsewhere(name: str, address: str, ours: Sequence[str]) -> WrongAddress | None:
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


def _kinds(private: bool) -> dict[str, _RecordType]:
    name = _RecordType("a public name", "api.example.org", partial(normalize, private=private))
    return {
        CNAME: name,
        OLDER_CNAME: name,
        A: _RecordType("an IPv4 address", "203.0.113.7", lambda text: str(IPv4Address(text))),
        AAAA: _RecordType("an IPv6 address", "2001:db8::7", lambda text: str(IPv6Address(text))),
    }


def _expected(name: str, target: Target, behind: Sequence[str]) -> str:
    told = [f"CNAME {name} → {target.cname}"] if target.cname else []
    told += [f"{_kind(each)} {each}" for each in dict.fromkeys((*target.addresses, *behind))]
    return " or ".join(told)


def _found(records: DnsRecords) -> str:
    aliases = records.view.aliases if records.view else ()
    told = [f"CNAME {each}" for each in aliases[:1]]
    return ", ".join([*told, *(f"{_kind(each)} {each}" for each in records.addresses)]) or "nothing"


def _record(name: str, target: Target) -> str:
    if target.cname:
        return f"{name}. CNAME {target.cname}."
    return f"{name}. {_kind(target.addresses[0])} {target.addresses[0]}"


def _kind(address: str) -> str:
    return "A" if ip_address(address).version == 4 else "AAAA"
