"""
Run a DNS on the loopback interface for the tests of DNS-01: a resolver and real name servers.

::

    with Network(directory) as network:
        server = network.bind("example.com", ["www A 192.0.2.1"])

All servers use the port of the resolver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import dns.query
import dns.rcode
import dns.tsig
import dns.update

from certworker.dns01.delegation import Delegations
from tests.servers.bind import KEY, Bind
from tests.servers.zones import World, ZoneServer


class Network:
    """
    Run a resolver with the SOA, NS and addresses of zones, and the name servers of those zones.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self.world = self._stack.enter_context(World())
        self.resolver: ZoneServer = self.world.resolver
        self._hosts = 20

    @property
    def port(self) -> int:
        """
        Return the port of all servers.
        """
        return self.resolver.address[1]

    def delegations(self) -> Delegations:
        """
        Return a search for delegations without cached answers.
        """
        return Delegations([self.resolver.address], private=True)

    def address(self) -> tuple[str, int]:
        """
        Return an address that no other server uses.
        """
        self._hosts += 1
        return f"127.0.0.{self._hosts}", self.port

    def register(self, zone: str, servers: Mapping[str, Sequence[str]]) -> None:
        """
        Register *zone* and its *servers* with the resolver: names with their addresses.
        """
        rows = self.resolver.rows
        rows.setdefault(zone.rpartition(".")[2], {"SOA": ["a.nic. root.nic. 1 2 3 4 5"]})
        soa = f"{next(iter(servers))}. hostmaster.{zone}. 1 3600 600 86400 60"
        rows.setdefault(zone, {}).update({"SOA": [soa], "NS": list(servers)})
        for name, addresses in servers.items():
            rows.setdefault(name, {}).update(
                {
                    "A": [each for each in addresses if ":" not in each],
                    "AAAA": [each for each in addresses if ":" in each],
                }
            )

    def bind(self, zone: str, lines: Sequence[str] = (), **others: Sequence[str]) -> Bind:
        """
        Start a real BIND for *zone* and *others*, and register *zone*.
        """
        address = self.address()
        zones = {zone: lines, **{name.replace("_", "."): each for name, each in others.items()}}
        server = Bind(self._directory / f"bind-{address[0]}", address, zones)
        self._stack.enter_context(server)
        self.register(zone, {f"ns1.{zone}": [address[0]]})
        return server

    def pair(self, zone: str) -> tuple[Bind, Bind]:
        """
        Start a real BIND for *zone* and its secondary, and register both.
        """
        first, second = self.address(), self.address()
        names = (f"ns1.{zone}", f"ns2.{zone}")
        lines = [f"ns1 A {first[0]}", f"ns2 A {second[0]}"]
        primary = Bind(self._directory / f"bind-{first[0]}", first, {zone: lines}, servers=names)
        self._stack.enter_context(primary)
        follower = Bind(self._directory / f"bind-{second[0]}", second, [zone], primary=first)
        self._stack.enter_context(follower)
        self.register(zone, {names[0]: [first[0]], names[1]: [second[0]]})
        return primary, follower

    def fake(self, zone: str, *, registered: bool = True) -> ZoneServer:
        """
        Start a test server for *zone*, whose answers the test can change.
        """
        server = ZoneServer(self.address()[0], self.port)
        self._stack.callback(server.stop)
        server.authoritative = True
        if registered:
            self.register(zone, {f"ns1.{zone}": [server.host]})
        return server

    def close(self) -> None:
        """
        Stop all servers.
        """
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def change(server: Bind, zone: str, fqdn: str, value: str, *, delete: bool = False) -> None:
    """
    Create or delete a TXT record with a dynamic update. The key of the tests signs it.
    """
    update = dns.update.UpdateMessage(zone, keyring=dns.tsig.Key(KEY.name, KEY.secret, KEY.algorithm))
    if delete:
        update.delete(f"{fqdn}.", "TXT", f'"{value}"')
    else:
        update.add(f"{fqdn}.", 60, "TXT", f'"{value}"')
    host, port = server.address
    answer = dns.query.tcp(update, host, port=port, timeout=10)
    assert answer.rcode() == dns.rcode.NOERROR, dns.rcode.to_text(answer.rcode())
