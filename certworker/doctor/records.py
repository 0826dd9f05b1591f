"""
The DNS records that the owner of a name must create, and which of them exist.

The authoritative servers decide. A record is right only if each server that answers returns it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from ipaddress import ip_address
from typing import Literal

from redis import Redis

from certworker.challenges.challenge import DNS01, HTTP01
from certworker.dns.records import Caa, DnsRecords, ServerView
from certworker.dns01.solver import Plan
from certworker.dns01.solver_factory import solver_of
from certworker.domains import delegated_domain
from certworker.domains.wildcard import base_name
from certworker.errors import printable
from certworker.errors.caa import CaaUnknownCritical
from certworker.errors.dns import NoRecord
from certworker.issuance.issuer_factory import acme_client_for
from certworker.preflight.caa import CaaIssuer, check_caa, decisive_set, is_unknown_critical, tag_for
from certworker.preflight.checkers import build_proofs, build_resolver
from certworker.preflight.ownership import MAX_SHOWN, owner_of, proof_of
from certworker.preflight.resolution import address_records, failure_without_answer
from certworker.preflight.result import CheckContext
from certworker.preflight.target import Target, target_of
from certworker.settings import Settings
from certworker.state.domain_records import DomainRecords
from certworker.validity import now_in_utc

Kind = Literal["A", "AAAA", "CNAME", "CAA", "TXT"]
State = Literal["right", "wrong", "missing"]

#: The maximum number of bytes of one string in a TXT record (RFC 1035, section 3.3).
LONGEST_STRING = 255


@dataclass(frozen=True)
class NeededRecord:
    """
    A DNS record that a name needs.
    """

    #: Without a final dot.
    owner: str
    kind: Kind
    #: As in a zone file, but without the final dot of a name, and without the quotes of a TXT record.
    value: str
    #: `right`; `wrong`: a server returns other records; `missing`: a server returns none.
    state: State
    #: What exists instead; empty if nothing does.
    found: str = ""

    @property
    def zone_line(self) -> str:
        """
        Return the record as a line of a zone file (RFC 1035, section 5.1), with its state as a comment.
        """
        value = f"{self.value}." if self.kind == "CNAME" else self.value
        if self.kind == "TXT":
            starts = range(0, len(self.value), LONGEST_STRING)
            value = " ".join(f'"{self.value[start : start + LONGEST_STRING]}"' for start in starts)
        found = f", found {printable(self.found)}" if self.found else ""
        return f"{self.owner}. {self.kind} {value}  ; {self.state}{found}"


class RecordCheck:
    """
    Compares the records that names need with those of the authoritative servers.

    Args:
        settings: The settings of the worker.
        connection: The connection to Redis, for the DNS providers and the tenants of names.
    """

    def __init__(self, settings: Settings, connection: Redis) -> None:
        self._settings = settings
        self._records = DomainRecords(connection)
        self._proofs = build_proofs(settings)
        self._resolver = build_resolver(settings)
        self._solver = solver_of(settings, connection)

    def __call__(self, name: str, tenant: str | None = None) -> tuple[NeededRecord, ...]:
        """
        Return the records that the owner of the normalized *name* must create.

        Args:
            name: The name.
            tenant: The tenant that has to prove the ownership; None: the tenant of the last request, if any.

        Raises:
            CertworkerError: DNS does not answer, no DNS provider serves the name, the target has no address,
                or CAA records exist and the CA does not answer.
            redis.RedisError: Redis does not respond.
        """
        records = needed_records(
            self._settings, name, self._resolver.look_up, self._solver.plan, lambda: self._issuers
        )
        return (*records, *self._proof(name, tenant))

    def _proof(self, name: str, tenant: str | None) -> Iterator[NeededRecord]:
        if self._settings.customers.ownership == "off":
            return
        if claimed := self._records.tenant_of(name) if tenant is None else tenant:
            yield proof_record(name, claimed, self._proofs.values(name))

    @cached_property
    def _issuers(self) -> tuple[CaaIssuer, ...]:
        # The development CA has no URL, and ignores CAA records.
        choices = [(choice, choice.directory_url) for choice in self._settings.authorities]
        clients = [acme_client_for(self._settings, each, url, now_in_utc) for each, url in choices if url]
        return tuple(CaaIssuer(each.title, each.caa_identities, each.account_url) for each in clients)


def proof_record(name: str, tenant: str, found: Sequence[str]) -> NeededRecord:
    """
    Return the record that proves that *tenant* owns *name*, if the servers show the values *found*.
    """
    owner, value = owner_of(name), proof_of(tenant)
    if value in found:
        return NeededRecord(owner, "TXT", value, "right")
    return NeededRecord(owner, "TXT", value, "wrong" if found else "missing", ", ".join(found[:MAX_SHOWN]))


def reason_for_none(settings: Settings, name: str) -> str:
    """
    Return why the list of records of *name* is empty, as a clause.
    """
    if settings.dns01.uses_dns01(name) or settings.targets:
        return "no record is needed"
    return (
        "the address of this server is unknown; to list the records, set _APP_DOMAIN_TARGET_CNAME or "
        "_APP_DOMAIN_TARGET_A"
    )


def needed_records(
    settings: Settings,
    name: str,
    look_up: Callable[[str], DnsRecords],
    plan_record: Callable[[str], Plan],
    issuers: Callable[[], Sequence[CaaIssuer]],
) -> Iterator[NeededRecord]:
    """
    Yield the records that the owner of the normalized *name* must create.

    For HTTP-01, these are the address records of the target for custom domains, or a CNAME record to the
    target. For DNS-01, it is the CNAME record that delegates the challenge to the zone of a provider; none if
    a provider serves the zone of the name. A CAA record is needed if the existing ones forbid the CA.

    Args:
        settings: The settings of the worker.
        name: The name.
        look_up: Returns the DNS records of a name.
        plan_record: Returns where the TXT record of a challenge would be created.
        issuers: Returns the CAs, starting with the preferred one; called only if there are CAA records.

    Raises:
        CertworkerError: DNS or the CA does not answer, no DNS provider serves the name, or the target has no
            address.
    """
    records = look_up(base_name(name))
    in_dns = settings.dns01.uses_dns01(name)
    if in_dns:
        yield from _delegation(settings, base_name(name), plan_record)
    else:
        target, _ = target_of(settings.targets, private=settings.authority.private_names)
        yield from _addresses(name, target, records, look_up)
    yield from _caa(CheckContext(name, records, challenge_type=DNS01 if in_dns else HTTP01), issuers)


def _delegation(settings: Settings, name: str, plan_record: Callable[[str], Plan]) -> Iterator[NeededRecord]:
    zones = [choice.zone for choice in settings.dns01.providers if choice.zone]
    plan = plan_record(name)
    aliases = plan.location.aliases
    if plan.provider and not aliases:
        return  # The provider changes the zone of the name itself.
    if plan.provider:
        yield NeededRecord(plan.location.name, "CNAME", aliases[0], "right")
    elif zones:
        state: State = "wrong" if aliases else "missing"
        yield NeededRecord(
            plan.location.name,
            "CNAME",
            f"{plan.location.name}.{zones[0]}",
            state,
            aliases[0] if aliases else "",
        )
    else:
        raise plan.not_served()  # there is no record to create


def _addresses(
    name: str, target: Target, records: DnsRecords, look_up: Callable[[str], DnsRecords]
) -> Iterator[NeededRecord]:
    alias = target.cname if target.cname != name else ""
    if not (alias or target.addresses):
        return
    views = _answers(records)
    of_alias = look_up(alias).addresses if alias else ()
    ours = tuple(dict.fromkeys((*target.addresses, *of_alias)))
    if alias and not _is_apex(name, records):
        yield _compared(views, name, "CNAME", alias, partial(_leads_to, alias, ours), _aliases_or_addresses)
        return
    if not ours:
        raise NoRecord(name=alias, detail="the target of custom domains", record=address_records(alias, ()))
    for version in (4, 6):
        wanted = [each for each in target.addresses or of_alias if ip_address(each).version == version]
        present = [each for each in wanted if all(each in view.addresses for view in views)]
        # One address of the target is enough.
        for address in present or wanted:
            yield _compared(
                views,
                name,
                "A" if version == 4 else "AAAA",
                address,
                partial(_has_address, address),
                partial(_addresses_of, version),
            )


def _is_apex(name: str, records: DnsRecords) -> bool:
    # A CNAME cannot exist beside the SOA and NS records of a zone (RFC 1034, section 3.6.2).
    return name in (records.zone, records.registered, delegated_domain(name))


def _answers(records: DnsRecords) -> tuple[ServerView, ...]:
    """
    Return the views of the authoritative servers that answer; if none is known, the view of the resolver.

    Raises:
        CertworkerError: No server answers.
    """
    known = records.authoritative or tuple(filter(None, [records.view]))
    answered = tuple(view for view in known if not view.error)
    if not answered:
        raise failure_without_answer(records)
    return answered


def _compared(
    views: Sequence[ServerView],
    owner: str,
    kind: Kind,
    value: str,
    is_right: Callable[[ServerView], bool],
    found_in: Callable[[ServerView], Sequence[str]],
) -> NeededRecord:
    worst = next((view for view in views if not is_right(view)), None)
    if worst is None:
        return NeededRecord(owner, kind, value, "right")
    found = ", ".join(found_in(worst))
    return NeededRecord(owner, kind, value, "wrong" if found else "missing", found)


def _leads_to(alias: str, ours: Sequence[str], view: ServerView) -> bool:
    # DNS providers that flatten aliases return only addresses.
    return alias in view.aliases or bool(view.addresses and set(view.addresses) <= set(ours))


def _aliases_or_addresses(view: ServerView) -> Sequence[str]:
    return view.aliases[-1:] or view.addresses


def _has_address(address: str, view: ServerView) -> bool:
    return address in view.addresses


def _addresses_of(version: int, view: ServerView) -> Sequence[str]:
    return [each for each in view.addresses if ip_address(each).version == version]


def _caa(context: CheckContext, issuers: Callable[[], Sequence[CaaIssuer]]) -> Iterator[NeededRecord]:
    found = decisive_set(context.records)
    if found is None or not issuers():
        return
    failure = check_caa(context, issuers).failure
    if failure is None:
        return
    if found.error:
        raise failure
    shown = ", ".join(map(_shown, found.records))
    if isinstance(failure, CaaUnknownCritical):
        value = next(_shown(replace(each, flags=0)) for each in found.records if is_unknown_critical(each))
    else:
        identity = next(each.identities[0] for each in issuers() if each.identities)
        value = f'0 {tag_for(found, context.name)} "{identity}"'
    yield NeededRecord(found.owner, "CAA", value, "wrong", shown)


def _shown(record: Caa) -> str:
    value = printable(record.value).replace("\\", r"\\").replace('"', r"\"")
    return f'{record.flags} {printable(record.tag)} "{value}"'
