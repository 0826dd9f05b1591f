"""
The custom domain target of Appwrite from the variables `_APP_DOMAIN_TARGET…`.

A custom domain is an alias for the target, or has the addresses of the target. DNS providers that flatten
aliases return only addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address

from certworker.dns.records import DnsRecords
from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.errors.dns import CnameTarget, InvalidTarget, WrongAddress
from certworker.preflight.result import CheckContext, CheckResult

CNAME, OLDER_CNAME = "_APP_DOMAIN_TARGET_CNAME", "_APP_DOMAIN_TARGET"
A, AAAA = "_APP_DOMAIN_TARGET_A", "_APP_DOMAIN_TARGET_AAAA"
CAA = "_APP_DOMAIN_TARGET_CAA"


@dataclass(frozen=True)
class Target:
    """
    The target of custom domains.
    """

    #: The name that custom domains are aliases for; empty if not set.
    cname: str = ""
    #: The addresses of this server; empty if unknown.
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class _RecordType:
    wanted: str
    example: str
    read: Callable[[str], str]


def target_of(targets: Mapping[str, str], *, private: bool) -> tuple[Target, list[InvalidTarget]]:
    """
    Return the target in the settings, and a failure for each invalid value.

    Args:
        targets: The values by variable.
        private: Whether to accept names of a private network.
    """
    read: dict[str, str] = {}
    failures: list[InvalidTarget] = []
    for variable, record_type in _record_types(private).items():
        if variable not in targets:
            continue
        try:
            read[variable] = record_type.read(targets[variable])
        except (CertworkerError, ValueError):
            reason = f"{targets[variable]} is not {record_type.wanted}"
            failures.append(
                InvalidTarget(
                    variable=variable, reason=reason, wanted=record_type.wanted, example=record_type.example
                )
            )
    names = [read[variable] for variable in (CNAME, OLDER_CNAME) if variable in read]
    addresses = tuple(read[variable] for variable in (A, AAAA) if variable in read)
    return Target(names[0] if names else "", addresses), failures


def check_target(
    context: CheckContext, target: Target, main_domains: Sequence[str], look_up: Callable[[str], DnsRecords]
) -> CheckResult:
    """
    Check whether the name in *context* points to *target*.

    The worst outcome is WARN: a proxy at another address may forward the challenge to this server.

    Args:
        main_domains: The domains of Appwrite itself, which need not point to the target.
        look_up: Returns the DNS records of a name.
    """
    records = context.records
    nothing_to_compare = not (target.cname or target.addresses) or records.view is None
    if nothing_to_compare or context.name in (*main_domains, target.cname):
        return CheckResult.passed("")
    if target.cname and target.cname in (records.view.aliases if records.view else ()):
        return CheckResult.passed("")
    target_addresses = look_up(target.cname).addresses if target.cname else ()
    if set(records.addresses) & {*target.addresses, *target_addresses}:
        return CheckResult.passed("")
    return CheckResult.warn(
        CnameTarget(
            name=context.name,
            expected=_expected(context.name, target, target_addresses),
            found=_records_found(records),
            record=record_to_create(context.name, target),
        )
    )


def points_elsewhere(name: str, address: str, own_addresses: Sequence[str]) -> WrongAddress | None:
    """
    Return a failure if *address* of *name* is not one of *own_addresses*.

    Return None if it is one of them, or if no own address of that IP version is known.
    """
    version = ip_address(address).version
    expected = [each for each in own_addresses if ip_address(each).version == version]
    if not expected or address in expected:
        return None
    return WrongAddress(
        name=name, found=address, expected=" or ".join(expected), kind="A" if version == 4 else "AAAA"
    )


def record_to_create(name: str, target: Target) -> str:
    """
    Return the record with which *name* points to *target*, which is not empty.
    """
    if target.cname:
        return f"{name}. CNAME {target.cname}."
    return f"{name}. {_address_type(target.addresses[0])} {target.addresses[0]}"


def _record_types(private: bool) -> dict[str, _RecordType]:
    name = _RecordType("a public name", "api.example.org", partial(normalize, private=private))
    return {
        CNAME: name,
        OLDER_CNAME: name,
        A: _RecordType("an IPv4 address", "203.0.113.7", lambda text: str(IPv4Address(text))),
        AAAA: _RecordType("an IPv6 address", "2001:db8::7", lambda text: str(IPv6Address(text))),
    }


def _expected(name: str, target: Target, target_addresses: Sequence[str]) -> str:
    parts = [f"CNAME {name} → {target.cname}"] if target.cname else []
    parts += [
        f"{_address_type(each)} {each}" for each in dict.fromkeys((*target.addresses, *target_addresses))
    ]
    return " or ".join(parts)


def _records_found(records: DnsRecords) -> str:
    aliases = records.view.aliases if records.view else ()
    parts = [f"CNAME {each}" for each in aliases[:1]]
    return ", ".join([*parts, *(f"{_address_type(each)} {each}" for each in records.addresses)]) or "nothing"


def _address_type(address: str) -> str:
    return "A" if ip_address(address).version == 4 else "AAAA"
