"""
Does the name lead somewhere a CA can go? DNS has been asked; here its answers are judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

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
from certworker.preflight.dns.query import SILENT
from certworker.preflight.dns.records import DnsRecords, ServerView
from certworker.preflight.result import CheckContext, CheckResult

#: What stands in a remedy where we do not know the address ourselves.
UNKNOWN_ADDRESS = "(the public address of this server)"


def check_resolution(
    question: CheckContext, *, ours: Sequence[str] = (), private: bool = False
) -> CheckResult:
    """
    Judge what DNS says of the name in *question*.

    Args:
        ours: The public addresses of this server, where they are known.
        private: The CA is one's own, in a network of its own: it may know names that we do not, and private
            addresses are as good as others.
    """
    records = question.records
    if is_loopback_name(records.name):
        return CheckResult.passed("this machine")
    if records.view is None:
        return _unanswered(records)
    if records.bogus:
        return CheckResult.fail(_broken_dnssec(records))
    if not records.registered_exists:
        return CheckResult.fail(NotRegistered(name=records.name, domain=records.registered))
    if not records.addresses:
        absent = NoRecord(
            name=records.name,
            detail=_what_is_there(records.view),
            expected=", ".join(ours) or UNKNOWN_ADDRESS,
        )
        return CheckResult.passed("", absent) if private else CheckResult.fail(absent)
    refused = [] if private else [each for each in records.addresses if not is_public(ip_address(each))]
    remarks = [] if private else list(_remarks(records))
    if refused:
        unreachable = PrivateAddress(
            name=records.name, found=", ".join(refused), expected=", ".join(ours) or UNKNOWN_ADDRESS
        )
        if len(refused) == len(records.addresses):
            return CheckResult.fail(unreachable)
        # A CA leaves those out.
        remarks.append(unreachable)
    return CheckResult.passed(_seen(records), *remarks)


def _unanswered(records: DnsRecords) -> CheckResult:
    if not records.resolvers or all(view.error == SILENT for view in records.resolvers):
        # Nothing is known of the domain, good or bad: the fault is on our side.
        silent = ContainerResolver(
            host=records.name, reason=f"{', '.join(view.server for view in records.resolvers)} gave no answer"
        )
        return CheckResult.skipped("DNS could not be asked", silent)
    if records.bogus:
        return CheckResult.fail(_broken_dnssec(records))
    if records.authoritative and all(view.error == SILENT for view in records.authoritative):
        return CheckResult.fail(
            NameServersTimeout(name=records.name, detail=_troubles(records.authoritative))
        )
    return CheckResult.fail(
        NameServersFail(name=records.name, detail=_troubles((*records.authoritative, *records.resolvers)))
    )


def _broken_dnssec(records: DnsRecords) -> CertworkerError:
    return DnssecBroken(name=records.name, zone=records.registered, detail=_troubles(records.resolvers))


def _remarks(records: DnsRecords) -> Iterator[CertworkerError]:
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
    # Where all answers of the domain's servers are true in turn, the addresses overlap.
    return not view.error and not set(view.addresses) & set(records.addresses)


def _seen(records: DnsRecords) -> str:
    aliases = records.view.aliases if records.view else ()
    told = [f"CNAME {aliases[0]}"] if aliases else []
    for kind, version in (("A", 4), ("AAAA", 6)):
        found = [each for each in records.addresses if ip_address(each).version == version]
        told.append(f"{kind} {' and '.join(found)}" if found else f"no {kind}")
    return ", ".join(told)


def _found(view: ServerView) -> str:
    return ", ".join(view.addresses) or "no address"


def _what_is_there(view: ServerView) -> str:
    if not view.exists:
        return "there is no such name"
    return f"it is an alias of {view.aliases[-1]}, which has none" if view.aliases else "the name is there"


def _troubles(views: Sequence[ServerView]) -> str:
    return "; ".join(dict.fromkeys(f"{view.server}: {view.error}" for view in views if view.error))
