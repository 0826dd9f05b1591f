"""
DNS: a name server can send any bytes over UDP and TCP.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.dns.query import DnsQuestion, query_servers
from certworker.dns.resolver import Resolver
from certworker.dns01.delegation import HOST_NAME, Delegations, ZoneServer
from certworker.dns01.propagation import Awaited, Propagation
from certworker.errors import CertworkerError
from certworker.errors.dns01 import NotVisible
from certworker.preflight.caa import CaaIssuer, check_caa
from certworker.preflight.result import CheckContext
from tests.servers.listening import TcpServer
from tests.servers.ports import free_port

NAME, NEIGHBOR = "www.shop.org", "neighbor.example.net"
ADDRESS = "127.0.0.9"

A, NS, CNAME, SOA, TXT, AAAA, OPT, CAA = 1, 2, 5, 6, 16, 28, 41, 257
TRUNCATED = 0x0200


def labels(*parts: bytes) -> bytes:
    """
    Return a name in the wire format.
    """
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


owners = st.sampled_from(
    [
        b"\xc0\x0c",  # the name of the question
        b"\xc0\xff",  # a pointer to itself, or beyond the end
        labels(),
        labels(b"shop", b"org"),
        labels(b"org"),
        labels(b"a", b"shop", b"org"),
        labels(b".", b"org"),
        labels(b"\\", b"org"),
        labels(b"\xff\0\n", b"org"),
        labels(b"*", b"xn--a"),
        labels(*[b"a" * 63] * 3, b"b" * 61),
    ]
) | st.lists(st.binary(min_size=1, max_size=63), max_size=5).map(lambda parts: labels(*parts))

# The addresses are local, because the walk queries name servers at them.
addresses = st.sampled_from(
    [b"\x7f\0\0\x01", b"\x7f\x01\x02\x03", b"\0\0\0\0", b"\x0a\0\0\x01", b"", b"\x7f"]
)
longer = st.sampled_from([b"\0" * 15 + b"\x01", b"\0" * 16, b"\xfe\x80" + b"\0" * 14, b"\xfc", b"\0" * 17])
properties = st.tuples(
    st.sampled_from([0, 1, 128, 255]),
    st.sampled_from([b"issue", b"ISSUE", b"iodef", b"", b"\xff"]),
    st.binary(max_size=40),
).map(lambda parts: bytes([parts[0], len(parts[1])]) + parts[1] + parts[2])
serials = st.binary(max_size=30)

kinds: dict[int, st.SearchStrategy[bytes]] = {
    A: addresses,
    AAAA: longer,
    CNAME: owners,
    NS: owners,
    CAA: properties | st.sampled_from([b"\0\x05issueletsencrypt.org; accounturi=x", b"\0\x05issue;;=;"]),
    SOA: serials | st.tuples(owners, owners).map(lambda names: b"".join(names) + b"\0" * 20),
    TXT: st.binary(max_size=40) | st.sampled_from([b"\x03abc\x02\xff\0", b"\x05ab", b"\0", b""]),
    OPT: st.binary(max_size=20).map(lambda text: b"\0\x0f" + struct.pack("!H", len(text)) + text),
}


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """
    Return a record of an answer, in some cases with a wrong length.
    """
    kind = draw(st.sampled_from(sorted(kinds)))
    data = draw(kinds[kind])
    length = len(data) if draw(st.integers(0, 5)) else draw(st.integers(0, 65_535))
    ttl = draw(st.sampled_from([0, 60, 2**31 - 1, 2**31, 2**32 - 1]))
    head = struct.pack("!HHIH", kind, draw(st.sampled_from([1, 1, 1, 3, 255])), ttl, length)
    return draw(owners) + head + data


@dataclass(frozen=True)
class Answer:
    """
    A hostile answer without the id and the question of the query.
    """

    flags: int
    counts: tuple[int, int]
    records: tuple[bytes, ...]
    #: The bytes that the server sends instead of the answer.
    raw: bytes | None
    #: The length that precedes the answer over TCP.
    prefix: int | None

    def to(self, query: bytes) -> bytes:
        """
        Return the answer to *query*.
        """
        if self.raw is not None:
            return self.raw
        asked = query[12 : query.index(b"\0", 12) + 5]
        counts = (1, len(self.records), *self.counts)
        return query[:2] + struct.pack("!HHHHH", self.flags, *counts) + asked + b"".join(self.records)


answers = st.builds(
    Answer,
    flags=st.sampled_from(
        [0x8180, 0x8580, 0x8580, 0x8580, 0x8183, 0x8182, 0x8185, 0x81AF, 0x8580 | TRUNCATED]
    )
    | st.integers(0, 65_535),
    counts=st.sampled_from([(0, 0), (0, 0), (0, 1), (9, 9)]),
    records=st.lists(records(), max_size=4).map(tuple),
    raw=st.none() | st.none() | st.none() | st.binary(max_size=40),
    prefix=st.none() | st.integers(0, 65_535),
)


class HostileServer:
    """
    A name server that sends `answer`, except for the names of the neighbor.

    A correct answer follows each datagram, so that no test waits until a timeout.
    """

    def __init__(self) -> None:
        self.answer = Answer(0, (0, 0), (), b"", None)
        server = self

        class OverUdp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                query, connection = self.request
                for each in server._answers(query):
                    connection.sendto(each, self.client_address)

        class OverTcp(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                query = self.rfile.read(int.from_bytes(self.rfile.read(2), "big"))
                wire, *_ = server._answers(query)
                length = len(wire) if server.answer.prefix is None else server.answer.prefix
                with suppress(OSError):
                    self.wfile.write(length.to_bytes(2, "big") + wire)

        self._tcp = TcpServer(("127.0.0.1", free_port()), OverTcp)
        self.address = str(self._tcp.server_address[0]), int(self._tcp.server_address[1])
        self._udp = socketserver.ThreadingUDPServer(self.address, OverUdp)
        self._udp.daemon_threads = True
        for each in (self._tcp, self._udp):
            threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """
        Stop the server.
        """
        for each in (self._tcp, self._udp):
            each.shutdown()
            each.server_close()

    def _answers(self, query: bytes) -> list[bytes]:
        right = dns.message.make_response(dns.message.from_wire(query))
        name = right.question[0].name.to_text().lower()
        if name == f"{NEIGHBOR}.":
            right.answer.append(dns.rrset.from_text(name, 60, "IN", "A", ADDRESS))
            return [right.to_wire()]
        return [self.answer.to(query), right.to_wire()]


@pytest.fixture(scope="session")
def hostile() -> Iterator[HostileServer]:
    """
    Start one server for all examples.
    """
    server = HostileServer()
    yield server
    server.stop()


@given(answer=answers, kind=st.sampled_from(["A", "AAAA", "CAA", "NS", "SOA", "TXT"]))
def test_question(hostile: HostileServer, answer: Answer, kind: str) -> None:
    """
    A hostile answer leads to a documented result, and the neighbor has its address.
    """
    hostile.answer = answer
    neighbor, own = DnsQuestion(hostile.address, NEIGHBOR, "A"), DnsQuestion(hostile.address, NAME, kind)

    heard = query_servers([own, neighbor])

    heard[own].of(NAME, kind), heard[own].aliases(NAME)
    assert (ADDRESS,) == heard[neighbor].of(NEIGHBOR, "A")


@given(answer=answers)
def test_walk(hostile: HostileServer, answer: Answer) -> None:
    """
    The walk through DNS ends with records that the checks accept as input.
    """
    hostile.answer = answer
    issuers = [CaaIssuer("Let's Encrypt", ("letsencrypt.org",), None)]

    found = Resolver([hostile.address]).look_up(NAME)

    assert found.name == NAME
    verdict = check_caa(CheckContext(NAME, found), lambda: issuers)
    assert all(str(each).isprintable() for each in (verdict.failure, *verdict.warnings) if each)


@given(answer=answers)
def test_delegation(hostile: HostileServer, answer: Answer) -> None:
    """
    The search for the location of a record ends within its zone, or with a documented failure.
    """
    hostile.answer = answer
    place = None
    with suppress(CertworkerError):
        place = Delegations([hostile.address], private=True).find(f"_acme-challenge.{NAME}")

    if place:
        assert HOST_NAME.fullmatch(place.fqdn)
        assert f".{place.fqdn}".endswith(f".{place.zone}")
        assert all(address[0].startswith("127.") for server in place.servers for address in server.addresses)


@given(answer=answers)
def test_propagation(hostile: HostileServer, answer: Answer) -> None:
    """
    A hostile answer counts as propagated only if it has the created value.
    """
    hostile.answer = answer
    server = ZoneServer("ns1.shop.org", (hostile.address,))
    value = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"

    with pytest.raises(NotVisible) as caught:
        Propagation(0).wait([Awaited(NAME, NAME, frozenset({value}), (server,))])

    assert str(caught.value).isprintable()
