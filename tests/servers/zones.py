"""
A small DNS on the loopback interface: a resolver, and name servers at separate addresses.

::

    with World() as world:
        world.zone("shop.org", {"shop.org": {"A": ["203.0.113.7"], "CAA": ['0 issue "letsencrypt.org"']}})

All servers listen at the same port. Queries begin at `world.resolver`. The servers of the zones have
addresses from 127.0.0.2.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Self

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from dns.message import Message

from tests.servers.listening import TcpServer
from tests.servers.ports import free_port
from tests.servers.signed import SignedZone

Rows = dict[str, dict[str, list[str]]]


class ZoneServer:
    """
    A name server with its records and its faults.
    """

    def __init__(self, host: str, port: int = 0) -> None:
        self.host = host
        self.rows: Rows = {}
        #: The time to live of each answer in seconds.
        self.ttl = 60
        #: The response code for a name and a type instead of its records: SERVFAIL, REFUSED, NOTIMP …
        self.codes: dict[tuple[str, str], str] = {}
        #: Names with invalid signatures. The answer is SERVFAIL, unless the query disables the check.
        self.bogus: set[str] = set()
        #: Names for which the server sends no answer.
        self.silent: set[str] = set()
        #: The zone and the servers to which a query for a name is referred.
        self.refer: Callable[[str], tuple[str, list[str]]] | None = None
        #: Whether the server ignores queries over UDP.
        self.tcp_only = False
        #: The code and the text of the extended error beside SERVFAIL (RFC 8914).
        self.reason: tuple[int, str] | None = None
        self.delay_seconds = 0.0
        self.authoritative = False
        #: Whether the server truncates answers over UDP.
        self.truncates = False
        #: The pause in seconds before each byte of an answer over TCP.
        self.trickle_seconds = 0.0
        #: The queries, as "NAME TYPE".
        self.asked: list[str] = []
        #: The signed zone, which replaces the unsigned records.
        self.signed: SignedZone | None = None
        #: The server for names of other zones.
        self.knows: Callable[[], Iterable[ZoneServer]] = tuple
        over_tcp, over_udp = (_Tcp6, _Udp6) if ":" in host else (_Tcp, _Udp)
        self._tcp = over_tcp((host, port or free_port()), _TcpHandler)
        self._tcp.pause = lambda: self.trickle_seconds
        self._udp = over_udp(self.address, _UdpHandler)
        for server in (self._tcp, self._udp):
            server.answer = self._answer
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        """
        The address at which the server listens.
        """
        return self.host, int(self._tcp.server_address[1])

    def stop(self) -> None:
        """
        Stop the servers.
        """
        for server in (self._tcp, self._udp):
            server.shutdown()
            server.server_close()

    def _answer(self, query: Message, over_tcp: bool) -> Message | None:
        question = query.question[0]
        name = question.name.to_text().lower().rstrip(".")
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        time.sleep(self.delay_seconds)
        if name in self.silent or (self.tcp_only and not over_tcp):
            return None
        answer = dns.message.make_response(query, recursion_available=not self.authoritative)
        if self.authoritative:
            answer.flags |= dns.flags.AA
        if code := self.codes.get((name, kind)) or self.codes.get((name, "*")):
            answer.set_rcode(dns.rcode.from_text(code))
        elif name in self.bogus and not query.flags & dns.flags.CD:
            answer.set_rcode(dns.rcode.SERVFAIL)
            if self.reason:
                number, text = self.reason
                answer.use_edns(options=[dns.edns.EDEOption(dns.edns.EDECode(number), text)])
        elif self.truncates and not over_tcp:
            answer.flags |= dns.flags.TC
        elif self.refer:
            zone, servers = self.refer(name)
            dotted = [f"{server}." for server in servers]
            answer.authority.append(dns.rrset.from_text(f"{zone}.", self.ttl, "IN", "NS", *dotted))
        elif self.signed:
            self.signed.fill(answer, name, kind, signatures=bool(query.ednsflags & dns.flags.DO))
        else:
            self._fill(answer, name, kind)
        return answer

    def _fill(self, answer: Message, name: str, kind: str) -> None:
        rows = _merged([self.rows, *(server.rows for server in self.knows())])
        owner = name
        while (target := rows.get(owner, {}).get("CNAME")) and kind != "CNAME":
            answer.answer.append(dns.rrset.from_text(f"{owner}.", self.ttl, "IN", "CNAME", f"{target[0]}."))
            owner = target[0]
        if values := rows.get(owner, {}).get(kind):
            dotted = [f"{value}." if kind in ("NS", "CNAME") else value for value in values]
            answer.answer.append(dns.rrset.from_text(f"{owner}.", self.ttl, "IN", kind, *dotted))
        elif not any(known == owner or known.endswith(f".{owner}") for known in rows):
            answer.set_rcode(dns.rcode.NXDOMAIN)


class World:
    """
    A resolver with the records of all zones, and a server for each zone.
    """

    def __init__(self) -> None:
        self.resolver = ZoneServer("127.0.0.1")
        self.servers: list[ZoneServer] = []
        self.resolver.knows = lambda: self.servers

    def zone(self, name: str, rows: Rows, *, servers: int = 1) -> ZoneServer:
        """
        Serve the zone *name* with *rows* by host and type from *servers* name servers. Return the first.
        """
        port = self.resolver.address[1]
        made = [ZoneServer(f"127.0.0.{2 + len(self.servers) + number}", port) for number in range(servers)]
        for number, server in enumerate(made, start=1):
            server.authoritative = True
            server.rows = {host: dict(kinds) for host, kinds in rows.items()}
            self.resolver.rows[f"ns{number}.{name}"] = {"A": [server.host]}
        self.resolver.rows.setdefault(name, {})["NS"] = [f"ns{n}.{name}" for n in range(1, servers + 1)]
        # The zone of the registry.
        self.resolver.rows.setdefault(name.rpartition(".")[2], {"SOA": []})
        self.servers += made
        return made[0]

    def stop(self) -> None:
        """
        Stop the servers.
        """
        for server in (self.resolver, *self.servers):
            server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Tcp(TcpServer):
    allow_reuse_address = True
    answer: Callable[[Message, bool], Message | None]
    pause: Callable[[], float]


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    answer: Callable[[Message, bool], Message | None]


class _Tcp6(_Tcp):
    address_family = socket.AF_INET6


class _Udp6(_Udp):
    address_family = socket.AF_INET6


class _UdpHandler(socketserver.BaseRequestHandler):
    server: _Udp

    def handle(self) -> None:
        query, connection = self.request
        if answer := self.server.answer(dns.message.from_wire(query), False):
            connection.sendto(answer.to_wire(max_size=65_535), self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    server: _Tcp

    def handle(self) -> None:
        # The length of each message precedes it (RFC 1035, section 4.2.2).
        while length := self.rfile.read(2):
            query = dns.message.from_wire(self.rfile.read(struct.unpack("!H", length)[0]))
            if answer := self.server.answer(query, True):
                wire = answer.to_wire(max_size=65_535)
                self._write(struct.pack("!H", len(wire)) + wire)

    def _write(self, content: bytes) -> None:
        pause = self.server.pause()
        if not pause:
            self.wfile.write(content)
            return
        with suppress(OSError):  # the client has disconnected
            for byte in content:
                time.sleep(pause)
                self.wfile.write(bytes([byte]))


def _merged(several: Iterable[Mapping[str, Mapping[str, list[str]]]]) -> Rows:
    merged: Rows = {}
    for rows in several:
        for name, kinds in rows.items():
            for kind, values in kinds.items():
                merged.setdefault(name, {}).setdefault(kind, values)
    return merged
