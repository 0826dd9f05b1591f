"""
What DNS says of a name, as a CA hears it: from the servers of its domain, with a public resolver beside them.

::

    1  the resolvers         who serves the domain? and what do they know of the name?
    2  the resolvers         where are those servers?
    3  the domain's servers  A, AAAA, CAA: what is true now, whatever a cache still tells

An alias that leads to another domain is followed from the first step again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from certworker import durable
from certworker.checks.addresses import addresses_of, is_public, of_the_loopback
from certworker.checks.datagrams import Server
from certworker.checks.dns import MOST_ALIASES, SILENT, Ask, Heard, ask
from certworker.checks.kept import Kept
from certworker.checks.records import Records, View, in_order_of_the_ca
from certworker.checks.views import ADDRESSES, PORT, caa_set_of, place_of, tree_of, view_of
from certworker.names import is_address, registered_domain

#: So many of a domain's servers are asked; two that agree are enough, a third shows who does not.
MOST_SERVERS = 3
#: Where a domain's servers are, changes less often than what they say.
SERVERS_ARE_KEPT_SECONDS = 300.0
#: A thousand custom domains are aliases of one name.
ENDS_ARE_KEPT_SECONDS = 5.0
#: No alias is followed any further after so long.
PATIENCE_SECONDS = 6.0

#: What a resolver says of wrong signatures (RFC 4035, section 5.5), and of much else.
REFUSED_BY_A_CHECK = "SERVFAIL"
LAME = "not responsible"
#: resolv.conf has some lines.
LARGEST_FILE_BYTES = 64 * 1024
THIS_MACHINE = "the resolver of this machine"


@dataclass(frozen=True)
class Host:
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
        self._hosts: Kept[str, tuple[Host, ...]] = Kept()
        self._ends: Kept[str, View] = Kept()

    def look_up(self, name: str) -> Records:
        """
        What DNS says of *name*. Where nobody answers, it says so after some 15 s at most.
        """
        if is_address(name):
            # DNS knows nothing of it, and CAA records do not apply (RFC 8738, section 6).
            return Records(name, registered=name, system=View("the address itself", (name,)))
        if of_the_loopback(name) or not self._servers:
            addresses = tuple(str(address) for address in addresses_of(name))
            return Records(name, system=View(THIS_MACHINE, in_order_of_the_ca(addresses)))
        return self._walk(name, MOST_ALIASES, time.monotonic() + PATIENCE_SECONDS)

    def _walk(self, name: str, aliases_left: int, until: float) -> Records:
        tree, registered = tree_of(name), registered_domain(name)
        zones = tree[: tree.index(registered) + 1] if registered in tree else tree[:1]
        heard = self._ask_resolvers(name, tree, zones)
        resolvers = tuple(view_of(place_of(server), name, server, heard) for server in self._servers)
        zone, hosts = self._authorities(zones, heard)
        if hosts:
            # The name, and its parents in the same zone.
            heard |= self._ask_authorities(name, tree[: tree.index(zone) + 1], hosts)
        return Records(
            name,
            registered=registered,
            registered_exists=registered not in zones
            or not all(heard[Ask(server, registered, "NS")].missing for server in self._servers),
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

    def _ask_resolvers(self, name: str, tree: Sequence[str], zones: Sequence[str]) -> dict[Ask, Heard]:
        addresses = [(name, kind) for kind in ADDRESSES]
        wanted = [*addresses, *((each, "CAA") for each in tree), *((each, "NS") for each in zones)]
        questions = [Ask(server, *each) for server in self._servers for each in wanted]
        return ask(questions + [Ask(server, *each) for server in self._own for each in addresses])

    def _ask_authorities(self, name: str, tree: Sequence[str], hosts: Sequence[Host]) -> dict[Ask, Heard]:
        wanted = [*((name, kind) for kind in ADDRESSES), *((each, "CAA") for each in tree)]
        heard = ask([Ask(host.server, *each) for host in hosts for each in wanted])
        # A server that knows of the name only where to ask is none of its domain.
        return {
            asked: answer if answer.trouble or answer.authoritative else Heard(LAME)
            for asked, answer in heard.items()
        }

    def _authorities(self, zones: Sequence[str], heard: Mapping[Ask, Heard]) -> tuple[str, tuple[Host, ...]]:
        """
        The zone that has the name, the deepest first, and some of its servers.
        """
        for zone in zones:
            for server in self._servers:
                # An alias has the servers of what it stands for; they know nothing of the name itself.
                if names := heard[Ask(server, zone, "NS")].values.get((zone, "NS")):
                    return zone, self._hosts.get(zone) or self._locate(zone, names)
        return "", ()

    def _locate(self, zone: str, names: Sequence[str]) -> tuple[Host, ...]:
        names = sorted(names)[:MOST_SERVERS]
        heard = ask(
            [Ask(server, name, kind) for server in self._servers for name in names for kind in ADDRESSES]
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
                Host(name, server)
                for each in reversed(in_order_of_the_ca(found))
                if (server := self._server(each))
            ][:1]
        self._hosts.put(zone, tuple(hosts), SERVERS_ARE_KEPT_SECONDS)
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

    def _to_its_end(self, view: View, aliases_left: int, until: float) -> View:
        if not view.aliases or view.addresses or view.trouble:
            return view
        alias = view.aliases[-1]
        end = self._ends.get(alias)
        if end is None:
            if not aliases_left or time.monotonic() > until:
                return replace(view, trouble="too many aliases")
            end = self._walk(alias, aliases_left - 1, until).view or View(
                "", trouble=f"no answer for {alias}"
            )
            self._ends.put(alias, end, ENDS_ARE_KEPT_SECONDS)
        return replace(
            view,
            addresses=end.addresses,
            aliases=(*view.aliases, *end.aliases),
            exists=end.exists,
            trouble=end.trouble,
        )

    def _is_bogus(self, name: str, resolvers: Sequence[View]) -> bool:
        answered = [view for view in resolvers if view.trouble != SILENT]
        if not answered or not all(view.trouble.startswith(REFUSED_BY_A_CHECK) for view in answered):
            return False
        # Once more, with and without a look at the signatures: what has passed meanwhile was none of them.
        questions = [Ask(server, name, kind) for server in self._servers for kind in ADDRESSES]
        heard = ask([*questions, *(replace(each, unchecked=True) for each in questions)])
        return any(
            heard[each].trouble.startswith(REFUSED_BY_A_CHECK)
            and not heard[replace(each, unchecked=True)].trouble
            for each in questions
        )


def own_servers(file: Path = Path("/etc/resolv.conf")) -> tuple[Server, ...]:
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
