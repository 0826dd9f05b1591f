"""
Where the record of a challenge must be created: its owner after all CNAMEs, the zone, and the name servers.

::

    1  the resolvers         the zone of the name, and its name servers (SOA, NS, A, AAAA)
    2  the zone's servers    the alias of the name, and the zones between that zone and the name

This module never queries a resolver for the name of a challenge. The resolver would cache that the name does
not exist. A CA that uses the same resolver would then not see the record for up to a day. The search also
works in private networks: it needs neither the public suffix list nor the DNS of the Internet.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import islice, product

from certworker.dns.query import (
    MAX_ALIASES,
    NOT_AUTHORITATIVE,
    SILENT,
    DnsAnswer,
    DnsQuestion,
    query_servers,
)
from certworker.dns.resolver import ADDRESSES, PORT, domain_and_parents, server_address
from certworker.dns.udp import Server, has_route
from certworker.domains.address import is_loopback, is_public, read_address
from certworker.errors.dns import ContainerResolver, NameServersFail, NameServersTimeout
from certworker.errors.dns01 import CnameElsewhere
from certworker.ttl_cache import TtlCache

#: The maximum number of zones from the first known zone down to the record. With more, the search fails.
MAX_CUTS = 8
#: The maximum number of name servers of a zone, and of addresses of one server. The root has 13 servers with
#: 2 addresses each.
MAX_SERVERS = 16
MAX_ADDRESSES = 4
#: The number of name servers that get a query first. Without a usable answer, all other addresses get it.
FIRST_SERVERS = 3
#: The maximum number of labels of an alias. The servers are queried for the wildcard of each parent.
MAX_LABELS = 32
#: A second TXT record at the name of a DKIM key may make signatures invalid (RFC 6376, section 3.6.2.2).
DKIM_LABEL = "_domainkey"
#: After this time, a search begins no further step.
TIMEOUT_SECONDS = 20.0
#: How long a zone and its name servers are cached. The time is short, because an operator may change them.
CACHE_SECONDS = 60.0

#: A valid name of a record. Other characters could have a special meaning in a script or an API.
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True)
class ZoneServer:
    """
    A name server of a zone, with those of its allowed addresses that this machine has a route to.
    """

    name: str
    addresses: tuple[Server, ...]


Servers = tuple[ZoneServer, ...]


@dataclass(frozen=True)
class Location:
    """
    Where the record of a challenge must be created.
    """

    #: The name that the CA queries: _acme-challenge.NAME.
    name: str
    #: The targets of the CNAMEs that begin at the name.
    aliases: tuple[str, ...]
    #: The zone of the last target, or of the name if it has no CNAME.
    zone: str
    #: The name servers of that zone, at most :data:`MAX_SERVERS`.
    servers: Servers
    #: The wildcard that does not apply to the validated name while the TXT record exists; empty without one.
    hides: str = ""

    @property
    def fqdn(self) -> str:
        """
        Return the owner of the record.
        """
        return self.aliases[-1] if self.aliases else self.name


@dataclass(frozen=True)
class _Cut:
    """
    The answer of a server of a zone for a name.
    """

    #: The same zone, or a zone below it.
    zone: str
    #: The names of its servers; empty if they are unknown.
    servers: tuple[str, ...] = ()
    #: The addresses of these servers in the same answer.
    glue: tuple[tuple[str, str], ...] = ()
    #: The target of the CNAME at the name; empty without a CNAME.
    alias: str = ""
    #: The records of the name that a wildcard may have synthesized, by type.
    records: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class _Search:
    """
    The search for one name.
    """

    name: str
    aliases: list[str]
    #: Monotonic seconds.
    until: float

    @property
    def current(self) -> str:
        """
        Return the last alias, or the name.
        """
        return self.aliases[-1] if self.aliases else self.name

    def follow(self, alias: str) -> None:
        """
        Continue with *alias*; raise CnameElsewhere if no record can be created there.
        """
        known = (self.name, *self.aliases)
        self.aliases.append(alias)
        if alias in known:
            raise self.elsewhere("a loop")
        if len(self.aliases) > MAX_ALIASES:
            raise self.elsewhere(f"more than {MAX_ALIASES} aliases")
        labels = alias.split(".")
        if not HOST_NAME.fullmatch(alias) or not 1 < len(labels) <= MAX_LABELS:
            raise self.elsewhere("not a host name")
        if DKIM_LABEL in labels:
            raise self.elsewhere("a second TXT record could make a DKIM key invalid")

    def elsewhere(self, reason: str) -> CnameElsewhere:
        """
        Return the failure of the aliases that were followed so far.
        """
        return CnameElsewhere(name=self.name, detail=f"{' → '.join([self.name, *self.aliases])} ({reason})")

    def check_time(self) -> None:
        """
        Raise NameServersTimeout after the deadline, because each name server may be slow.
        """
        if time.monotonic() > self.until:
            detail = f"the zone of {self.current} was not found within {TIMEOUT_SECONDS:g} s"
            raise NameServersTimeout(name=self.name, detail=detail).from_preflight()


class Delegations:
    """
    Finds the zones in which the records of challenges are created, and their name servers.

    Args:
        resolvers: The resolvers, each an address and a port.
        private: Whether name servers at private addresses may be queried, even without a private resolver.
    """

    def __init__(self, resolvers: Sequence[Server], *, private: bool) -> None:
        self._resolvers = tuple(resolvers)
        self._private = private or any(not is_public(ip_address(address)) for address, _ in resolvers)
        self._zones: TtlCache[str, str] = TtlCache()
        self._servers: TtlCache[str, Servers] = TtlCache()

    def find(self, name: str) -> Location:
        """
        Return where the record of *name*, such as an `_acme-challenge` name, must be created.

        Raises:
            CnameElsewhere: The aliases form a loop, are too many, or end where no record can be created.
            ContainerResolver: The resolvers do not answer, or there is none.
            NameServersTimeout: No name server of the zone is reachable, or the search takes too long.
            NameServersFail: The name servers have no address or fail, or the name is in no zone or too many.
        """
        search = _Search(name, [], time.monotonic() + TIMEOUT_SECONDS)
        while True:
            cut, servers = self._descend(search)
            wildcard = self._wildcard_of(search.current, cut, servers) if cut.records else ""
            # A TXT record at the name has priority over the CNAME of a wildcard (RFC 4592, section 2.2.1).
            if cut.alias and not wildcard:
                search.follow(cut.alias)
                continue
            hides = wildcard if _hides(wildcard, search.current) else ""
            if hides and search.aliases:
                # The owner of a name must not change the addresses of another name in the zone.
                raise search.elsewhere(f"a record there would hide the wildcard {hides}")
            return Location(name, tuple(search.aliases), cut.zone, servers, hides)

    def servers_of(self, zone: str) -> Servers:
        """
        Return the name servers of *zone*.

        Raises:
            NameServersFail: The resolvers know no address of a name server of the zone.
        """
        return self._servers.get(zone) or self._find_servers(zone, self._names_at_resolvers(zone), ())

    def _descend(self, search: _Search) -> tuple[_Cut, Servers]:
        """
        Return the answer of the deepest zone that contains the name, and the servers of that zone.
        """
        zone = self._zone_at_resolvers(search)
        servers = self.servers_of(zone)
        for _ in range(MAX_CUTS):
            search.check_time()
            cut = self._query_zone(search, zone, servers)
            if cut.zone == zone:
                if cut.servers and _selected(cut.servers) != [each.name for each in servers]:
                    # The list in the zone itself decides, unless none of its servers is reachable.
                    servers = self._find_servers(zone, cut.servers, cut.glue, servers)
                return cut, servers
            zone = cut.zone
            if cut.servers:
                servers = self._servers.get(zone) or self._find_servers(zone, cut.servers, cut.glue)
        detail = f"{search.current} is below too many zones"
        raise NameServersFail(name=search.name, detail=detail).from_preflight()

    def _zone_at_resolvers(self, search: _Search) -> str:
        parent = search.current.partition(".")[2]
        if zone := self._zones.get(parent):
            return zone
        for candidate in domain_and_parents(parent):
            search.check_time()
            answers = query_servers([DnsQuestion(server, candidate, "SOA") for server in self._resolvers])
            if all(answer.error == SILENT for answer in answers.values()):
                reason = ", ".join(f"{server_address(each)} gave no answer" for each in self._resolvers)
                raise ContainerResolver(host=parent, reason=reason or "it has no resolver")
            for answer in answers.values():
                zone = _zone_in(answer, candidate)
                # If only the top-level domain is a zone, the domain that an alias leads to does not exist.
                if zone and ("." in zone or not search.aliases):
                    self._zones.put(parent, zone, CACHE_SECONDS)
                    return zone
        if search.aliases:
            raise search.elsewhere("its domain does not exist")
        raise NameServersFail(name=search.name, detail=f"no zone contains {parent}").from_preflight()

    def _names_at_resolvers(self, zone: str) -> tuple[str, ...]:
        answers = query_servers([DnsQuestion(server, zone, "NS") for server in self._resolvers])
        return next((found for answer in answers.values() if (found := answer.of(zone, "NS"))), ())

    def _find_servers(
        self, zone: str, names: Iterable[str], glue: Sequence[tuple[str, str]], others: Servers = ()
    ) -> Servers:
        names = _selected(names)
        questions = [DnsQuestion(*each) for each in product(self._resolvers, names, ADDRESSES)]
        answers = query_servers(questions)
        found = {name: [address for owner, address in glue if owner == name] for name in names}
        for asked, answer in answers.items():
            found[asked.name] += answer.of(asked.name, asked.kind)
        servers = tuple(ZoneServer(name, self._reachable(addresses)) for name, addresses in found.items())
        if others and not any(each.addresses for each in servers):
            servers = others
        elif not any(found.values()):
            raise NameServersFail(
                name=zone, detail=f"no name server has an address ({', '.join(names) or 'no NS records'})"
            ).from_preflight()
        self._servers.put(zone, servers, CACHE_SECONDS)
        return servers

    def _reachable(self, addresses: Sequence[str]) -> tuple[Server, ...]:
        servers = (
            self._server(each) for each in sorted(set(addresses), key=lambda each: (":" in each, each))
        )
        reachable = (server for server in servers if server and has_route(server))
        return tuple(islice(reachable, MAX_ADDRESSES))

    def _server(self, address: str) -> Server | None:
        parsed, resolver = read_address(address), self._resolvers[0]
        if parsed is None or parsed.is_multicast or parsed.is_unspecified:
            return None
        if is_loopback(address):
            # All of DNS is on this machine, as in tests: its servers use the port of the resolver.
            return (address, resolver[1]) if ip_address(resolver[0]).is_loopback else None
        return (address, PORT) if self._private or is_public(parsed) else None

    def _query_zone(self, search: _Search, zone: str, servers: Sequence[ZoneServer]) -> _Cut:
        addresses = [each.addresses for each in servers if each.addresses]
        first = [each[0] for each in addresses[:FIRST_SERVERS]]
        others = [each for several in addresses for each in several if each not in first]
        errors: dict[Server, str] = {}
        for group in (first, others):
            name = search.current
            wanted = ((name, "CNAME"), (zone, "NS"), *((name, kind) for kind in ADDRESSES))
            answers = query_servers(
                [DnsQuestion(server, *each, own=True) for server in group for each in wanted]
            )
            for server in group:
                found = [answers[DnsQuestion(server, *each, own=True)] for each in wanted]
                if cut := _cut_in(*found, zone=zone, current=name):
                    return cut
                errors[server] = found[0].error or NOT_AUTHORITATIVE
        shown = [f"{server_address(server)}: {error}" for server, error in errors.items()][:MAX_SERVERS]
        detail = f"zone {zone}: {', '.join(shown) or 'no name server is reachable'}"
        silent = all(error == SILENT for error in errors.values())
        failure = NameServersTimeout if silent else NameServersFail
        raise failure(name=search.name, detail=detail).from_preflight()

    def _wildcard_of(self, current: str, cut: _Cut, servers: Sequence[ZoneServer]) -> str:
        """
        Return the wildcard that supplies the records of *current*; empty if the name has records of its own.
        """
        parents = domain_and_parents(current.partition(".")[2])
        wildcards = [f"*.{each}" for each in parents if f".{each}".endswith(f".{cut.zone}")]
        addresses = [each.addresses[0] for each in servers if each.addresses][:FIRST_SERVERS]
        # A wildcard may match another "*.PARENT", but no name below itself (RFC 4592, section 2.2.1).
        below = [f"_.{each}" for each in wildcards]
        answers = query_servers(
            [
                DnsQuestion(server, name, kind, own=True)
                for server in addresses
                for name in (*wildcards, *below)
                for kind, _ in cut.records
            ]
        )
        records = dict(cut.records)
        same = {
            asked.name
            for asked, answer in answers.items()
            if set(answer.values.get((asked.name, asked.kind), ())) == set(records[asked.kind])
        }
        matching = [each for each in wildcards if each in same]
        return next((each for each in matching if f"_.{each}" not in same), "") or "".join(matching[-1:])


def _selected(names: Iterable[str]) -> list[str]:
    return sorted(set(names))[:MAX_SERVERS]


def _zone_in(answer: DnsAnswer, candidate: str) -> str:
    """
    Return the zone of *candidate* in the answer about its SOA record; empty if the answer has none.
    """
    if answer.error or (candidate, "CNAME") in answer.values:
        return ""
    if (candidate, "SOA") in answer.values:
        return candidate
    return next((zone for zone in answer.owners("SOA") if zone and candidate.endswith(f".{zone}")), "")


def _cut_in(
    about_name: DnsAnswer, about_zone: DnsAnswer, *addresses: DnsAnswer, zone: str, current: str
) -> _Cut | None:
    """
    Return the answer of a server of *zone* for *current* and for *zone*; None without a usable answer.
    """
    if about_name.error:
        return None
    if not about_name.authoritative:
        for owner in about_name.owners("NS"):
            if _is_between(owner, zone, current):
                return _Cut(owner, about_name.authority[owner, "NS"], _glue(about_name))
        return None
    alias, *_ = about_name.values.get((current, "CNAME"), ("",))
    # A server that also serves the child zone answers from that zone, not with a referral.
    deeper = (owner for owner in about_name.owners("SOA") if _is_between(owner, zone, current))
    if not alias and (child := next(deeper, "")):
        return _Cut(child)
    records = tuple(
        (kind, found)
        for kind, answer in zip(("CNAME", *ADDRESSES), (about_name, *addresses), strict=True)
        if (found := answer.values.get((current, kind), ()))
    )
    return _Cut(zone, about_zone.values.get((zone, "NS"), ()), _glue(about_zone), alias, records)


def _hides(wildcard: str, current: str) -> bool:
    """
    Return whether a record at *current* hides *wildcard* from a host, which is *current* or a name above it.
    """
    only_itself = wildcard == f"*.{current.partition('.')[2]}"
    return bool(wildcard) and not (only_itself and current.startswith("_"))


def _glue(answer: DnsAnswer) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, address)
        for (name, kind), addresses in answer.glue.items()
        if kind in ADDRESSES
        for address in addresses
    )


def _is_between(owner: str, zone: str, current: str) -> bool:
    return owner.endswith(f".{zone}") and (owner == current or current.endswith(f".{owner}"))
