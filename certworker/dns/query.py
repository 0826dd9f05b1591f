"""
Queries to name servers, and their answers as values (RFC 1035).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
from dns.message import Message
from dns.rdtypes.ANY.CAA import CAA

from certworker.deadline import Deadline, Place
from certworker.dns.records import Caa
from certworker.dns.udp import TIMEOUT_SECONDS, Server, UdpQuery, exchange

#: Every network carries this size without fragmentation (DNS flag day 2020).
MAX_DATAGRAM_BYTES = 1232

#: Truncated answers are rare. A server that truncates all of them gets no more threads.
MAX_TCP_QUERIES = 16

SILENT = "no answer"
NXDOMAIN = "NXDOMAIN"

#: A longer chain of aliases is a loop.
MAX_ALIASES = 8


@dataclass(frozen=True)
class DnsQuestion:
    """
    One query to one server.
    """

    server: Server
    name: str
    #: The record type: A, AAAA, NS, CAA.
    kind: str
    #: Ask a resolver not to validate signatures (RFC 4035, section 3.2.2).
    unchecked: bool = False


@dataclass(frozen=True)
class DnsAnswer:
    """
    The answer of a server.
    """

    #: SERVFAIL, REFUSED, no answer and so on; empty for an answer, NXDOMAIN included.
    error: str = ""
    #: The name does not exist.
    missing: bool = False
    #: The server is responsible for the name.
    authoritative: bool = False
    #: Seconds for which the answer may be cached.
    ttl: int = 0
    #: Records as text, by owner and type.
    values: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    #: CAA records, by owner.
    caa: Mapping[str, tuple[Caa, ...]] = field(default_factory=dict)

    def aliases(self, name: str) -> tuple[str, ...]:
        """
        Return the targets of *name*, from alias to alias.
        """
        found: list[str] = []
        while target := self.values.get((found[-1] if found else name, "CNAME")):
            found.append(target[0])
            if len(found) > MAX_ALIASES:
                break
        return tuple(found)

    def of(self, name: str, kind: str) -> tuple[str, ...]:
        """
        Return the records of *name*, or of the name that it is an alias of.
        """
        return self.values.get(((name, *self.aliases(name))[-1], kind), ())


def query_servers(questions: Sequence[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
    """
    Send all *questions* at once, and return the answers. A missing answer has the error :data:`SILENT`.
    """
    unique = list(dict.fromkeys(questions))
    queries = [_query(each) for each in unique]
    replies = exchange(
        [
            UdpQuery(
                each.server, (each.name, each.kind, each.unchecked), query.to_wire(), partial(_reply, query)
            )
            for each, query in zip(unique, queries, strict=True)
        ]
    )
    complete = _complete_replies(unique, queries, replies)
    return {each: _answer(reply) for each, reply in zip(unique, complete, strict=True)}


def _query(question: DnsQuestion) -> Message:
    query = dns.message.make_query(question.name, question.kind, use_edns=True, payload=MAX_DATAGRAM_BYTES)
    if question.unchecked:
        query.flags |= dns.flags.CD
    return query


def _reply(query: Message, content: bytes) -> Message | None:
    # Parsing is expensive, and several queries wait for datagrams of the same server.
    if int.from_bytes(content[:2], "big") != query.id:
        return None
    try:
        reply = dns.message.from_wire(content, continue_on_error=True)
    except (dns.exception.DNSException, ValueError):
        return None
    return reply if query.is_response(reply) else None


def _complete_replies(
    questions: Sequence[DnsQuestion], queries: Sequence[Message], replies: Sequence[Message | None]
) -> list[Message | None]:
    """
    Return *replies*, each truncated one replaced by its answer over TCP; all are sent at the same time.
    """
    complete = list(replies)
    truncated = [number for number, reply in enumerate(replies) if reply and reply.flags & dns.flags.TC]
    if truncated:
        with ThreadPoolExecutor(min(len(truncated), MAX_TCP_QUERIES)) as connections:
            deadline = Deadline(TIMEOUT_SECONDS)
            asked = [
                connections.submit(_over_tcp, questions[each], queries[each], deadline) for each in truncated
            ]
            for number, reply in zip(truncated, asked, strict=True):
                complete[number] = reply.result()
    return complete


def _over_tcp(question: DnsQuestion, query: Message, deadline: Deadline) -> Message | None:
    address, port = question.server
    wire = query.to_wire()
    try:
        with deadline.connect([Place.of(ip_address(address), port)]) as connection:
            # The length precedes each message (RFC 1035, section 4.2.2).
            connection.sendall(len(wire).to_bytes(2, "big") + wire)
            with connection.makefile("rb") as answer:
                return _reply(query, answer.read(int.from_bytes(answer.read(2), "big")))
    except OSError:
        return None


def _answer(reply: Message | None) -> DnsAnswer:
    if reply is None:
        return DnsAnswer(SILENT)
    code = dns.rcode.to_text(reply.rcode())
    if code not in ("NOERROR", NXDOMAIN):
        return DnsAnswer(code + _extended_error(reply))
    values: dict[tuple[str, str], tuple[str, ...]] = {}
    caa: dict[str, tuple[Caa, ...]] = {}
    # A record of another class can have a known type with another format.
    answer = [records for records in reply.answer if records.rdclass == dns.rdataclass.IN]
    for records in answer:
        owner, kind = _name(records.name.to_text()), dns.rdatatype.to_text(records.rdtype)
        if kind == "CAA":
            caa[owner] = tuple(_caa(each) for each in records if isinstance(each, CAA))
        values[owner, kind] = tuple(_name(each.to_text()) for each in records)
    return DnsAnswer(
        missing=code == NXDOMAIN,
        authoritative=bool(reply.flags & dns.flags.AA),
        ttl=min((records.ttl for records in answer), default=0),
        values=values,
        caa=caa,
    )


def _extended_error(reply: Message) -> str:
    # A resolver may explain a SERVFAIL (RFC 8914).
    reasons = [each.to_text().removeprefix("EDE ") for each in reply.extended_errors()]
    return f" ({'; '.join(reasons)})" if reasons else ""


def _name(text: str) -> str:
    return text.lower().removesuffix(".")


def _caa(record: CAA) -> Caa:
    return Caa(record.flags, record.tag.decode("ascii", "replace"), record.value.decode("utf-8", "replace"))
