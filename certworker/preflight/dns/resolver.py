"""
What DNS says of a name, as a CA hears it: from the servers of its domain, with a public resolver beside them.

::

    1  the resolvers         who serves the domain? and what do they know of the name?
    2  the resolvers         where are those servers?
    3  the domain's servers  A, AAAA, CAA: what is true now, whatever a cache still tells

An alias that leads to another domain is followed from the first step again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from certworker.domains import is_address, registered_domain
from certworker.domains.address import Address, is_loopback_name, is_public
from certworker.preflight.dns.query import MAX_ALIASES, SILENT, DnsAnswer, DnsQuestion, query_servers
from certworker.preflight.dns.records import DnsRecords, ServerView, in_ca_order
from certworker.preflight.dns.udp import Server
from certworker.preflight.dns.views import (
    ADDRESSES,
    PORT,
    caa_set_of,
    domain_and_parents,
    server_address,
    view_of,
)
from certworker.preflight.ttl_cache import TtlCache
from certworker.storage import durable

#: So many of a domain's servers are asked; two that agree are enough, a third shows who does not.
MAX_SERVERS = 3
#: Where a domain's servers are, changes less often than what they say.
SERVER_TTL_SECONDS = 300.0
#: A thousand custom domains are aliases of one name.
ALIAS_TTL_SECONDS = 5.0
#: No alias is followed any further after so long.
TIMEOUT_SECONDS = 6.0

#: What a resolver says of wrong signatures (RFC 4035, section 5.5), and of much else.
CHECKING_DISABLED_ONLY = "SERVFAIL"
LAME = "not responsible"
#: resolv.conf has some lines.
LARGEST_FILE_BYTES = 64 * 1024
THIS_MACHINE = "the resolver of this machine"


@dataclass(frozen=True)
class NameServer:
    """
    A name server of a domain.
    """

    name: str
    server: Server


class Resolver:
    """
    Looks names up.

    Args:
        servers: The resolvers to begin with, each an address and a port; none: this machine's own resolver
            is asked, and nobody else.
        own: This machine's resolvers, where they see another DNS than the world; only beside *servers*.
        private: Name servers at private addresses may be asked, too.
    """

    def __init__(
        self, servers: Sequence[Server], *, own: Sequence[Server] = (), private: bool = False
    ) -> None:
        self._servers = tuple(servers)
        self._own = tuple(own)
        self._private = private
        self._hosts: TtlCache[str, tuple[NameServer, ...]] = TtlCache()
        self._ends: TtlCache[str, ServerView] = TtlCache()

    def look_up(self, name: str) -> DnsRecords:
        """
        What DNS says of *name*. Where nobody answers, it says so after some 15 s at most.
        """
        if is_address(name):
            # DNS knows nothing of it, and CAA records do not apply (RFC 8738, section 6).
            return DnsRecords(name, registered=name, system=ServerView("the address itself", (name,)))
        if is_loopback_name(name) or not self._servers:
            addresses = tuple(str(address) for address in resolve_system(name))
            return DnsRecords(name, system=ServerView(THIS_MACHINE, in_ca_order(addresses)))
        return self._walk(name, MAX_ALIASES, time.monotonic() + TIMEOUT_SECONDS)

    def _walk(self, name: str, aliases_left: int, until: float) -> DnsRecords:
        tree, registered = domain_and_parents(name), registered_domain(name)
        zones = tree[: tree.index(registered) + 1] if registered in tree else tree[:1]
        heard = self._ask_resolvers(name, tree, zones)
        resolvers = tuple(view_of(server_address(server), name, server, heard) for server in self._servers)
        zone, hosts = self._authorities(zones, heard)
        if hosts:
            # The name, and its parents in the same zone.
            heard |= self._ask_authorities(name, tree[: tree.index(zone) + 1], hosts)
        return DnsRecords(
            name,
            registered=registered,
            registered_exists=registered not in zones
            or not all(heard[DnsQuestion(server, registered, "NS")].missing for server in self._servers),
            authoritative=tuple(
                self._to_its_end(view_of(host.name, name, host.server, heard), aliases_left, until)
                for host in hosts
            ),
            resolvers=resolvers,
            system=next((view_of(THIS_MACHINE, name, server, heard) for server in self._own), None),
            bogus=self._is_bogus(name, resolvers),
            caa=tuple(
                caa_set_of(each, [host.server for host in hosts], self._servers, heard) for each in tree
            ),
        )

    def _ask_resolvers(
        self, name: str, tree: Sequence[str], zones: Sequence[str]
    ) -> dict[DnsQuestion, DnsAnswer]:
        addresses = [(name, kind) for kind in ADDRESSES]
        wanted = [*addresses, *((each, "CAA") for each in tree), *((each, "NS") for each in zones)]
        questions = [DnsQuestion(server, *each) for server in self._servers for each in wanted]
        return query_servers(
            questions + [DnsQuestion(server, *each) for server in self._own for each in addresses]
        )

    def _ask_authorities(
        self, name: str, tree: Sequence[str], hosts: Sequence[NameServer]
    ) -> dict[DnsQuestion, DnsAnswer]:
        wanted = [*((name, kind) for kind in ADDRESSES), *((each, "CAA") for each in tree)]
        heard = query_servers([DnsQuestion(host.server, *each) for host in hosts for each in wanted])
        # A server that knows of the name only where to ask is none of its domain.
        return {
            asked: answer if answer.error or answer.authoritative else DnsAnswer(LAME)
            for asked, answer in heard.items()
        }

    def _authorities(
        self, zones: Sequence[str], heard: Mapping[DnsQuestion, DnsAnswer]
    ) -> tuple[str, tuple[NameServer, ...]]:
        """
        The zone that has the name, the deepest first, and some of its servers.
        """
        for zone in zones:
            for server in self._servers:
                # An alias has the servers of what it stands for; they know nothing of the name itself.
                if names := heard[DnsQuestion(server, zone, "NS")].values.get((zone, "NS")):
                    return zone, self._hosts.get(zone) or self._locate(zone, names)
        return "", ()

    def _locate(self, zone: str, names: Sequence[str]) -> tuple[NameServer, ...]:
        names = sorted(names)[:MAX_SERVERS]
        heard = query_servers(
            [
                DnsQuestion(server, name, kind)
                for server in self._servers
                for name in names
                for kind in ADDRESSES
            ]
        )
        hosts = []
        for name in names:
            found = [
                each
                for ask, answer in heard.items()
                if ask.name == name
                for each in answer.of(name, ask.kind)
            ]
            # IPv4 first: there are more machines without a way to IPv6 than without one to IPv4.
            hosts += [
                NameServer(name, server)
                for each in reversed(in_ca_order(found))
                if (server := self._server(each))
            ][:1]
        self._hosts.put(zone, tuple(hosts), SERVER_TTL_SECONDS)
        return tuple(hosts)

    def _server(self, address: str) -> Server | None:
        """
        Where to ask the name server at *address*; None: nowhere. Anybody may write any address into a zone.
        """
        known = ip_address(address)
        begin = ip_address(self._servers[0][0])
        if known.is_loopback and begin.is_loopback:
            # A DNS that lies on this machine as a whole: its servers share the port of its resolver.
            return address, self._servers[0][1]
        return (address, PORT) if self._private or is_public(known) else None

    def _to_its_end(self, view: ServerView, aliases_left: int, until: float) -> ServerView:
        if not view.aliases or view.addresses or view.error:
            return view
        alias = view.aliases[-1]
        end = self._ends.get(alias)
        if end is None:
            if not aliases_left or time.monotonic() > until:
                return replace(view, error="too many aliases")
            end = self._walk(alias, aliases_left - 1, until).view or ServerView(
                "", error=f"no answer for {alias}"
            )
            self._ends.put(alias, end, ALIAS_TTL_SECONDS)
        return replace(
            view,
            addresses=end.addresses,
            aliases=(*view.aliases, *end.aliases),
            exists=end.exists,
            error=end.error,
        )

    def _is_bogus(self, name: str, resolvers: Sequence[ServerView]) -> bool:
        answered = [view for view in resolvers if view.error != SILENT]
        if not answered or not all(view.error.startswith(CHECKING_DISABLED_ONLY) for view in answered):
            return False
        # Once more, with and without a look at the signatures: what has passed meanwhile was none of them.
        questions = [DnsQuestion(server, name, kind) for server in self._servers for kind in ADDRESSES]
        heard = query_servers([*questions, *(replace(each, unchecked=True) for each in questions)])
        return any(
            heard[each].error.startswith(CHECKING_DISABLED_ONLY)
            and not heard[replace(each, unchecked=True)].error
            for each in questions
        )


def resolve_system(host: str) -> Sequence[Address]:
    """
    Return the addresses of *host* from this machine's own resolver; none if it does not know the name.
    """
    if is_loopback_name(host):
        return [IPv4Address("127.0.0.1")]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(ip_address(str(address[0])) for *_, address in found))


def system_name_servers(file: Path = Path("/etc/resolv.conf")) -> tuple[Server, ...]:
    """
    The first resolver of this machine; none if *file* names none (resolv.conf(5)).
    """
    try:
        content = durable.read(file, LARGEST_FILE_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        return ()
    fields = [line.split() for line in content.splitlines()]
    named = [field[1] for field in fields if len(field) > 1 and field[0] == "nameserver"]
    return ((named[0], PORT),) if named and "%" not in named[0] else ()
