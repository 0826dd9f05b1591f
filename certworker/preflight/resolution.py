"""
Whether a name has addresses that a CA can connect to, according to DNS.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from certworker.dns.query import SILENT
from certworker.dns.records import DnsRecords, ServerView
from certworker.domains.address import is_loopback_name, is_public
from certworker.errors import CertworkerError
from certworker.errors.dns import (
    ContainerResolver,
    DnssecBroken,
    NameServersDiffer,
    NameServersFail,
    NameServersTimeout,
    NoRecord,
    PrivateAddress,
    Propagation,
    SplitHorizon,
)
from certworker.errors.name import NotRegistered
from certworker.preflight.result import CheckContext, CheckResult

#: The address of this server in remedies, if it is unknown.
UNKNOWN_ADDRESS = "(the public address of this server)"


def check_resolution(
    context: CheckContext, *, own_addresses: Sequence[str] = (), private: bool = False
) -> CheckResult:
    """
    Check the addresses of the name in *context*, and the answers of its name servers and of the resolvers.

    Args:
        own_addresses: The public addresses of this server; empty if they are unknown.
        private: Whether the CA is private. Such a CA may resolve other names, and use private addresses.
    """
    records = context.records
    if is_loopback_name(records.name):
        return CheckResult.passed("this machine")
    if records.view is None:
        return _result_without_answer(records)
    if records.bogus:
        return CheckResult.fail(_broken_dnssec(records))
    if not records.registered_exists:
        return CheckResult.fail(NotRegistered(name=records.name, domain=records.registered))
    if not records.addresses:
        failure = NoRecord(
            name=records.name,
            detail=_state_of_name(records.view),
            record=address_records(records.name, own_addresses),
        )
        return CheckResult.passed("", failure) if private else CheckResult.fail(failure)
    private_addresses = (
        [] if private else [each for each in records.addresses if not is_public(ip_address(each))]
    )
    warnings = [] if private else list(_warnings(records))
    if private_addresses:
        unreachable = PrivateAddress(
            name=records.name,
            found=", ".join(private_addresses),
            record=address_records(records.name, own_addresses),
        )
        if len(private_addresses) == len(records.addresses):
            return CheckResult.fail(unreachable)
        # A public CA ignores private addresses.
        warnings.append(unreachable)
    return CheckResult.passed(_evidence(records), *warnings)


def address_records(name: str, addresses: Sequence[str]) -> str:
    """
    Return the records with which *name* points to *addresses*, or to this server if there are none.
    """
    types = {address: "A" if ip_address(address).version == 4 else "AAAA" for address in addresses}
    records = types or {UNKNOWN_ADDRESS: "A"}
    return " and ".join(f"{name}. {kind} {address}" for address, kind in records.items())


def failure_without_answer(records: DnsRecords) -> CertworkerError:
    """
    Return why the servers of *records* gave no usable answer.
    """
    if not records.resolvers or all(view.error == SILENT for view in records.resolvers):
        # The resolvers do not answer at all, so the cause is in this network, not in the domain.
        silent = ", ".join(view.server for view in records.resolvers)
        # Without any view, the lookup ended with an unexpected error, which is in the log.
        reason = f"{silent} did not answer" if silent else "the lookup failed"
        return ContainerResolver(host=records.name, reason=reason)
    if records.bogus:
        return _broken_dnssec(records)
    if records.authoritative and all(view.error == SILENT for view in records.authoritative):
        return NameServersTimeout(name=records.name, detail=_errors(records.authoritative))
    return NameServersFail(name=records.name, detail=_errors((*records.authoritative, *records.resolvers)))


def _result_without_answer(records: DnsRecords) -> CheckResult:
    failure = failure_without_answer(records)
    if isinstance(failure, ContainerResolver):
        return CheckResult.skipped("DNS could not be queried", failure)
    return CheckResult.fail(failure)


def _broken_dnssec(records: DnsRecords) -> CertworkerError:
    return DnssecBroken(name=records.name, zone=records.registered, detail=_errors(records.resolvers))


def _warnings(records: DnsRecords) -> Iterator[CertworkerError]:
    name, expected = records.name, ", ".join(records.addresses)
    answered = [view for view in records.authoritative if not view.error]
    for view in answered[1:]:
        if _differs(view, records):
            yield NameServersDiffer(name=name, server=view.server, found=_found(view), expected=expected)
    for view in records.resolvers:
        if answered and _differs(view, records):
            yield Propagation(
                name=name, server=view.server, found=_found(view), expected=expected, seconds=view.ttl
            )
    own = records.system
    if own and own.addresses and not any(is_public(ip_address(each)) for each in own.addresses):
        yield SplitHorizon(name=name, found=_found(own), expected=expected)


def _differs(view: ServerView, records: DnsRecords) -> bool:
    # Servers that rotate the addresses of a name still return some in common.
    return not view.error and not set(view.addresses) & set(records.addresses)


def _evidence(records: DnsRecords) -> str:
    aliases = records.view.aliases if records.view else ()
    parts = [f"CNAME {aliases[0]}"] if aliases else []
    for kind, version in (("A", 4), ("AAAA", 6)):
        found = [each for each in records.addresses if ip_address(each).version == version]
        parts.append(f"{kind} {' and '.join(found)}" if found else f"no {kind}")
    return ", ".join(parts)


def _found(view: ServerView) -> str:
    return ", ".join(view.addresses) or "no address"


def _state_of_name(view: ServerView) -> str:
    if not view.exists:
        return "the name does not exist"
    return f"it is an alias of {view.aliases[-1]}, which has none" if view.aliases else "the name exists"


def _errors(views: Sequence[ServerView]) -> str:
    return "; ".join(dict.fromkeys(f"{view.server}: {view.error}" for view in views if view.error))
