"""
The DNS records of a name, from the name servers of its domain and from resolvers.

A CA queries the name servers of the domain. So does :class:`Resolver`, in three steps::

    1  the resolvers         the name servers of the domain, and the records of the name
    2  the resolvers         the addresses of those name servers
    3  the name servers      A, AAAA, CAA: the current records, not from a cache

If the name is an alias, the name servers of its domain may not know the addresses of the target. The class
then repeats all steps for the target.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from certworker.dns.query import (
    MAX_ALIASES,
    NOT_AUTHORITATIVE,
    SILENT,
    DnsAnswer,
    DnsQuestion,
    query_servers,
)
from certworker.dns.records import CaaSet, DnsRecords, ServerView, in_ca_order
from certworker.dns.udp import Server
from certworker.domains import delegated_domain, is_address
from certworker.domains.address import Address, is_loopback_name, is_public, read_address
from certworker.storage import durable
from certworker.ttl_cache import TtlCache

#: The maximum number of queried name servers of a domain. If two disagree, the third shows which one differs.
MAX_SERVERS = 3
#: How long the addresses of name servers are cached. These addresses change rarely.
SERVER_TTL_SECONDS = 300.0
#: How long the addresses of a target are cached. Many custom domains may be aliases of one name.
ALIAS_TTL_SECONDS = 5.0
#: After this time, the resolver follows no further alias.
TIMEOUT_SECONDS = 6.0

#: The error for invalid signatures (RFC 4035, section 5.5), and for many other problems.
CHECKING_DISABLED_ONLY = "SERVFAIL"
#: The maximum size of resolv.conf, which has a few lines.
LARGEST_FILE_BYTES = 64 * 1024
THIS_MACHINE = "the resolver of this machine"

PORT = 53

ADDRESSES = ("A", "AAAA")


@dataclass(frozen=True)
class NameServer:
    """
    A name server of a domain.
    """

    name: str
    server: Server


class Resolver:
    """
    The resolver for the preflight checks.

    Args:
        servers: The address and port of each resolver; empty to query only the resolver of this machine.
        own: The resolvers of this machine, if their view of DNS may differ; used only with *servers*.
        private: Whether name servers at private addresses may be queried.
    """

    def __init__(
        self, servers: Sequence[Server], *, own: Sequence[Server] = (), private: bool = False
    ) -> None:
        self._servers = tuple(servers)
        self._own = tuple(own)
        self._private = private
        self._name_servers: TtlCache[str, tuple[NameServer, ...]] = TtlCache()
        self._alias_targets: TtlCache[str, ServerView] = TtlCache()

    def look_up(self, name: str) -> DnsRecords:
        """
        Return the DNS records of *name*, with the errors of the servers that failed.

        Each query has a time limit. After :data:`TIMEOUT_SECONDS`, the lookup follows no further alias.
        """
        if is_address(name):
            # DNS has no records for an address, and CAA records apply only to domain names (RFC 8659).
            return DnsRecords(name, registered=name, system=ServerView("the address itself", (name,)))
        if is_loopback_name(name) or not self._servers:
            addresses = tuple(str(address) for address in resolve_system(name))
            return DnsRecords(name, system=ServerView(THIS_MACHINE, in_ca_order(addresses)))
        return self._query_all_steps(name, MAX_ALIASES, time.monotonic() + TIMEOUT_SECONDS)

    def look_up_quickly(self, name: str) -> ServerView | None:
        """
        Return the addresses of *name* at the first of the resolvers that answered, possibly from its cache.

        Return None if all resolvers are silent or report an error.
        """
        if is_address(name) or is_loopback_name(name) or not self._servers:
            return self.look_up(name).view
        answers = query_servers(
            [DnsQuestion(server, name, kind) for server in self._servers for kind in ADDRESSES]
        )
        views = (view_of(server_address(server), name, server, answers) for server in self._servers)
        return next((view for view in views if not view.error), None)

    def _query_all_steps(self, name: str, aliases_left: int, until: float) -> DnsRecords:
        tree, registered = domain_and_parents(name), delegated_domain(name)
        zones = tree[: tree.index(registered) + 1] if registered in tree else tree[:1]
        answers = self._query_resolvers(name, tree, zones)
        resolvers = tuple(view_of(server_address(server), name, server, answers) for server in self._servers)
        zone, name_servers = self._name_servers_of(zones, answers)
        if name_servers:
            # Query the name, and its parents in the same zone.
            answers |= self._query_name_servers(name, tree[: tree.index(zone) + 1], name_servers)
        return DnsRecords(
            name,
            registered=registered,
            registered_exists=registered not in zones
            or not all(answers[DnsQuestion(server, registered, "NS")].missing for server in self._servers),
            zone=zone,
            authoritative=tuple(
                self._with_alias_target(
                    view_of(name_server.name, name, name_server.server, answers), aliases_left, until
                )
                for name_server in name_servers
            ),
            resolvers=resolvers,
            system=next((view_of(THIS_MACHINE, name, server, answers) for server in self._own), None),
            bogus=self._is_bogus(name, resolvers),
            caa=tuple(
                caa_set_of(each, [name_server.server for name_server in name_servers], self._servers, answers)
                for each in tree
            ),
        )

    def _query_resolvers(
        self, name: str, tree: Sequence[str], zones: Sequence[str]
    ) -> dict[DnsQuestion, DnsAnswer]:
        addresses = [(name, kind) for kind in ADDRESSES]
        wanted = [*addresses, *((each, "CAA") for each in tree), *((each, "NS") for each in zones)]
        questions = [DnsQuestion(server, *each) for server in self._servers for each in wanted]
        return query_servers(
            questions + [DnsQuestion(server, *each) for server in self._own for each in addresses]
        )

    def _query_name_servers(
        self, name: str, tree: Sequence[str], name_servers: Sequence[NameServer]
    ) -> dict[DnsQuestion, DnsAnswer]:
        wanted = [*((name, kind) for kind in ADDRESSES), *((each, "CAA") for each in tree)]
        answers = query_servers(
            [DnsQuestion(name_server.server, *each) for name_server in name_servers for each in wanted]
        )
        # A server that only refers to other servers is not authoritative for the domain.
        return {
            asked: answer if answer.error or answer.authoritative else DnsAnswer(NOT_AUTHORITATIVE)
            for asked, answer in answers.items()
        }

    def _name_servers_of(
        self, zones: Sequence[str], answers: Mapping[DnsQuestion, DnsAnswer]
    ) -> tuple[str, tuple[NameServer, ...]]:
        """
        Return the most specific zone of the name, and some of its name servers.
        """
        for zone in zones:
            for server in self._servers:
                # For an alias, the answer has the target's name servers, which do not serve the name itself.
                if names := answers[DnsQuestion(server, zone, "NS")].values.get((zone, "NS")):
                    return zone, self._name_servers.get(zone) or self._find_addresses(zone, names)
        return "", ()

    def _find_addresses(self, zone: str, names: Sequence[str]) -> tuple[NameServer, ...]:
        names = sorted(names)[:MAX_SERVERS]
        answers = query_servers(
            [
                DnsQuestion(server, name, kind)
                for server in self._servers
                for name in names
                for kind in ADDRESSES
            ]
        )
        name_servers = []
        for name in names:
            found = [
                each
                for ask, answer in answers.items()
                if ask.name == name
                for each in answer.of(name, ask.kind)
            ]
            # Prefer IPv4, because many machines lack IPv6.
            name_servers += [
                NameServer(name, server)
                for each in reversed(in_ca_order(found))
                if (server := self._server(each))
            ][:1]
        self._name_servers.put(zone, tuple(name_servers), SERVER_TTL_SECONDS)
        return tuple(name_servers)

    def _server(self, address: str) -> Server | None:
        """
        Return the server at *address*, or None if the address is not allowed. A zone can contain any address.
        """
        parsed = ip_address(address)
        resolver = ip_address(self._servers[0][0])
        if parsed.is_loopback and resolver.is_loopback:
            # In tests, all name servers run on this machine and use the port of the resolver.
            return address, self._servers[0][1]
        return (address, PORT) if self._private or is_public(parsed) else None

    def _with_alias_target(self, view: ServerView, aliases_left: int, until: float) -> ServerView:
        if not view.aliases or view.addresses or view.error:
            return view
        alias = view.aliases[-1]
        target = self._alias_targets.get(alias)
        if target is None:
            if not aliases_left:
                return replace(view, error="too many aliases")
            if time.monotonic() > until:
                return replace(view, error=f"{alias} was not found within {TIMEOUT_SECONDS:g} s")
            target = self._query_all_steps(alias, aliases_left - 1, until).view or ServerView(
                "", error=f"no answer for {alias}"
            )
            self._alias_targets.put(alias, target, ALIAS_TTL_SECONDS)
        return replace(
            view,
            addresses=target.addresses,
            aliases=(*view.aliases, *target.aliases),
            exists=target.exists,
            error=target.error,
        )

    def _is_bogus(self, name: str, resolvers: Sequence[ServerView]) -> bool:
        answered = [view for view in resolvers if view.error != SILENT]
        if not answered or not all(view.error.startswith(CHECKING_DISABLED_ONLY) for view in answered):
            return False
        # Repeat the queries with and without validation, because a temporary failure is not an invalid
        # signature.
        questions = [DnsQuestion(server, name, kind) for server in self._servers for kind in ADDRESSES]
        answers = query_servers([*questions, *(replace(each, unchecked=True) for each in questions)])
        return any(
            answers[each].error.startswith(CHECKING_DISABLED_ONLY)
            and not answers[replace(each, unchecked=True)].error
            for each in questions
        )


def resolve_system(host: str) -> Sequence[Address]:
    """
    Return the addresses of *host* from this machine's resolver; empty if it returns none or fails.

    A name of the loopback interface, such as localhost, has the address 127.0.0.1.
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
    Return the first resolver in *file*, the resolv.conf(5) of this machine; empty if it is not usable.
    """
    try:
        content = durable.read(file, LARGEST_FILE_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        return ()
    fields = [line.split() for line in content.splitlines()]
    named = [field[1] for field in fields if len(field) > 1 and field[0] == "nameserver"]
    usable = named and read_address(named[0]) and "%" not in named[0]
    return ((named[0], PORT),) if usable else ()


def domain_and_parents(name: str) -> tuple[str, ...]:
    """
    Return *name* and its parents, up to the top-level domain.
    """
    labels = name.split(".")
    return tuple(".".join(labels[start:]) for start in range(len(labels)))


def server_address(server: Server) -> str:
    """
    Return the address of a server for messages, with the port unless it is 53.
    """
    return server[0] if server[1] == PORT else f"{server[0]}:{server[1]}"


def view_of(label: str, name: str, server: Server, replies: Mapping[DnsQuestion, DnsAnswer]) -> ServerView:
    """
    Return the addresses of *name* at *server*.

    Args:
        label: The name of the server in messages.
        replies: The answers of the servers.
    """
    answers = [replies[DnsQuestion(server, name, kind)] for kind in ADDRESSES]
    addresses = [
        each for answer, kind in zip(answers, ADDRESSES, strict=True) for each in answer.of(name, kind)
    ]
    # An error for one record type does not matter if the other type has an address.
    error = "" if addresses else next((answer.error for answer in answers if answer.error), "")
    return ServerView(
        label,
        in_ca_order(addresses),
        aliases=max((answer.aliases(name) for answer in answers), key=len),
        ttl=max(answer.ttl for answer in answers),
        exists=not any(answer.missing for answer in answers),
        error=error,
    )


def caa_set_of(
    name: str,
    authorities: Sequence[Server],
    resolvers: Sequence[Server],
    replies: Mapping[DnsQuestion, DnsAnswer],
) -> CaaSet:
    """
    Return the CAA records of *name*, preferably from its authoritative name servers, or an error.
    """
    asked = [replies.get(DnsQuestion(server, name, "CAA")) for server in (*authorities, *resolvers)]
    answers = [answer for answer in asked if answer]
    for answer in answers:
        owner = (name, *answer.aliases(name))[-1]
        # A name server of the domain knows the alias, but not always the records of its target.
        if not answer.error and (owner == name or owner in answer.caa or answer is answers[-1]):
            return CaaSet(name, owner, answer.caa.get(owner, ()))
    return CaaSet(name, name, error=next((answer.error for answer in answers), SILENT))
