"""
Does the name lead somewhere a CA can go? DNS has been asked; here its answers are judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from certworker.checks.addresses import is_public, of_the_loopback
from certworker.checks.dns import SILENT
from certworker.checks.records import Records, View
from certworker.checks.verdict import Question, Verdict
from certworker.errors import CertworkerError
from certworker.errors.naming import NotRegistered
from certworker.errors.reach import ContainerResolver, DnssecBroken, NameServersFail, NameServersSilent
from certworker.errors.zones import NoRecord, PrivateAddress, Propagation, ServersDiffer, SplitHorizon

#: What stands in a remedy where we do not know the address ourselves.
UNKNOWN_ADDRESS = "(the public address of this server)"


def check_resolution(question: Question, *, ours: Sequence[str] = (), private: bool = False) -> Verdict:
    """
    Judge what DNS says of the name in *question*.

    Args:
        ours: The public addresses of this server, where they are known.
        private: The CA is one's own, in a network of its own: it may know names that we do not, and private
            addresses are as good as others.
    """
    records = question.records
    if of_the_loopback(records.name):
        return Verdict.yes("this machine")
    if records.view is None:
        return _unanswered(records)
    if records.bogus:
        return Verdict.no(_broken_dnssec(records))
    if not records.registered_exists:
        return Verdict.no(NotRegistered(name=records.name, domain=records.registered))
    if not records.addresses:
        absent = NoRecord(
            name=records.name,
            detail=_what_is_there(records.view),
            expected=", ".join(ours) or UNKNOWN_ADDRESS,
        )
        return Verdict.yes("no address known here", absent) if private else Verdict.no(absent)
    refused = [] if private else [each for each in records.addresses if not is_public(ip_address(each))]
    remarks = [] if private else list(_remarks(records))
    if refused:
        unreachable = PrivateAddress(
            name=records.name, found=", ".join(refused), expected=", ".join(ours) or UNKNOWN_ADDRESS
        )
        if len(refused) == len(records.addresses):
            return Verdict.no(unreachable)
        # A CA leaves those out.
        remarks.append(unreachable)
    return Verdict.yes(_seen(records), *remarks)


def _unanswered(records: Records) -> Verdict:
    if not records.resolvers or all(view.trouble == SILENT for view in records.resolvers):
        # Nothing is known of the domain, good or bad: the fault is on our side.
        silent = ContainerResolver(
            host=records.name, reason=f"{', '.join(view.server for view in records.resolvers)} gave no answer"
        )
        return Verdict.yes("DNS could not be asked", silent)
    if records.bogus:
        return Verdict.no(_broken_dnssec(records))
    if records.authoritative and all(view.trouble == SILENT for view in records.authoritative):
        return Verdict.no(NameServersSilent(name=records.name, detail=_troubles(records.authoritative)))
    return Verdict.no(
        NameServersFail(name=records.name, detail=_troubles((*records.authoritative, *records.resolvers)))
    )


def _broken_dnssec(records: Records) -> CertworkerError:
    return DnssecBroken(name=records.name, zone=records.registered, detail=_troubles(records.resolvers))


def _remarks(records: Records) -> Iterator[CertworkerError]:
    name, expected = records.name, ", ".join(records.addresses)
    answered = [view for view in records.authoritative if not view.trouble]
    for view in answered[1:]:
        if _differs(view, records):
            yield ServersDiffer(name=name, server=view.server, found=_found(view), expected=expected)
    for view in records.resolvers:
        if answered and _differs(view, records):
            yield Propagation(
                name=name, server=view.server, found=_found(view), expected=expected, seconds=view.ttl
            )
    own = records.system
    if own and own.addresses and not any(is_public(ip_address(each)) for each in own.addresses):
        yield SplitHorizon(name=name, found=_found(own), expected=expected)


def _differs(view: View, records: Records) -> bool:
    # Where all answers of the domain's servers are true in turn, the addresses overlap.
    return not view.trouble and not set(view.addresses) & set(records.addresses)


def _seen(records: Records) -> str:
    aliases = records.view.aliases if records.view else ()
    told = [f"CNAME {aliases[0]}"] if aliases else []
    for kind, version in (("A", 4), ("AAAA", 6)):
        found = [each for each in records.addresses if ip_address(each).version == version]
        told.append(f"{kind} {' and '.join(found)}" if found else f"no {kind}")
    return ", ".join(told)


def _found(view: View) -> str:
    return ", ".join(view.addresses) or "no address"


def _what_is_there(view: View) -> str:
    if not view.exists:
        return "there is no such name"
    return f"it is an alias of {view.aliases[-1]}, which has none" if view.aliases else "the name is there"


def _troubles(views: Sequence[View]) -> str:
    return "; ".join(dict.fromkeys(f"{view.server}: {view.trouble}" for view in views if view.trouble))
