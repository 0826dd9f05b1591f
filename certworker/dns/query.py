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
from dns.rdtypes.ANY.TXT import TXT
from dns.rrset import RRset

from certworker.deadline import Deadline, Place
from certworker.dns.records import Caa
from certworker.dns.udp import TIMEOUT_SECONDS, Server, UdpQuery, exchange

#: Every network carries this size without fragmentation (DNS flag day 2020).
MAX_DATAGRAM_BYTES = 1232

#: Truncated answers are rare. A server that truncates all of them gets no more threads.
MAX_TCP_QUERIES = 16

SILENT = "no answer"
NXDOMAIN = "NXDOMAIN"
NOT_AUTHORITATIVE = "not responsible"
#: No query can have the name: it is too long, for example.
INVALID_NAME = "invalid name"

#: A longer chain of aliases is a loop.
MAX_ALIASES = 8


@dataclass(frozen=True)
class DnsQuestion:
    """
    One query to one server.
    """

    server: Server
    name: str
    #: The record type: A, AAAA, CAA, CNAME, NS, SOA, TXT.
    kind: str
    #: Ask a resolver not to validate signatures (RFC 4035, section 3.2.2).
    unchecked: bool = False
    #: Ask for the server's own records only, not for those that it finds at other servers.
    own: bool = False


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
    #: Records as text in lower case, by owner and type.
    values: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    #: CAA records, by owner.
    caa: Mapping[str, tuple[Caa, ...]] = field(default_factory=dict)
    #: TXT records, by owner, in their own case.
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: NS and SOA records beside the answer: those of a child zone, or of the zone of a missing record.
    authority: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    #: Addresses beside the answer.
    glue: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

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

    def owners(self, kind: str) -> tuple[str, ...]:
        """
        Return the owners of the records of *kind* beside the answer.
        """
        return tuple(owner for owner, found in self.authority if found == kind)


def query_servers(questions: Sequence[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
    """
    Send all *questions* at once, and return the answers. A missing answer has the error :data:`SILENT`.

    After one server has answered each question, the others get a short time only.
    """
    return _query_all(questions, each_server=False)


def query_each_server(questions: Sequence[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
    """
    Send all *questions* at once, and return the answers as :func:`query_servers` does, but wait for each
    server. A server that gives no answer over UDP is asked over TCP.
    """
    return _query_all(questions, each_server=True)


def _query_all(questions: Sequence[DnsQuestion], *, each_server: bool) -> dict[DnsQuestion, DnsAnswer]:
    built = {each: _query(each) for each in dict.fromkeys(questions)}
    valid = {each: query for each, query in built.items() if query}
    unique, queries = list(valid), list(valid.values())
    replies = exchange(
        [
            UdpQuery(
                each.server,
                each if each_server else (each.name, each.kind, each.unchecked),
                query.to_wire(),
                partial(_reply, query),
            )
            for each, query in zip(unique, queries, strict=True)
        ]
    )
    over_tcp = [
        number
        for number, reply in enumerate(replies)
        if (each_server if reply is None else reply.flags & dns.flags.TC)
    ]
    complete = _complete_replies(unique, queries, replies, over_tcp)
    answers = {each: _answer(reply) for each, reply in zip(unique, complete, strict=True)}
    return {each: answers.get(each) or DnsAnswer(INVALID_NAME) for each in built}


def _query(question: DnsQuestion) -> Message | None:
    try:
        query = dns.message.make_query(
            question.name, question.kind, use_edns=True, payload=MAX_DATAGRAM_BYTES
        )
    except dns.exception.DNSException:
        return None
    if question.unchecked:
        query.flags |= dns.flags.CD
    if question.own:
        query.flags &= ~dns.flags.RD
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
    questions: Sequence[DnsQuestion],
    queries: Sequence[Message],
    replies: Sequence[Message | None],
    over_tcp: Sequence[int],
) -> list[Message | None]:
    """
    Return *replies*, those with the numbers *over_tcp* replaced by answers over TCP; all are sent at once.
    """
    complete = list(replies)
    if over_tcp:
        with ThreadPoolExecutor(min(len(over_tcp), MAX_TCP_QUERIES)) as connections:
            deadline = Deadline(TIMEOUT_SECONDS)
            asked = [
                connections.submit(_over_tcp, questions[each], queries[each], deadline) for each in over_tcp
            ]
            for number, reply in zip(over_tcp, asked, strict=True):
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
    answer = _of_the_internet(reply.answer)
    return DnsAnswer(
        missing=code == NXDOMAIN,
        authoritative=bool(reply.flags & dns.flags.AA),
        ttl=min((records.ttl for records in answer), default=0),
        values=_values(answer),
        caa={
            _name(records.name.to_text()): tuple(_caa(each) for each in records if isinstance(each, CAA))
            for records in answer
            if records.rdtype == dns.rdatatype.CAA
        },
        texts={
            _name(records.name.to_text()): tuple(_text(each) for each in records if isinstance(each, TXT))
            for records in answer
            if records.rdtype == dns.rdatatype.TXT
        },
        authority=_values(_of_the_internet(reply.authority)),
        glue=_values(_of_the_internet(reply.additional)),
    )


def _of_the_internet(section: Sequence[RRset]) -> list[RRset]:
    # A record of another class can have a known type with another format.
    return [records for records in section if records.rdclass == dns.rdataclass.IN]


def _values(section: Sequence[RRset]) -> dict[tuple[str, str], tuple[str, ...]]:
    return {
        (_name(records.name.to_text()), dns.rdatatype.to_text(records.rdtype)): tuple(
            _name(each.to_text()) for each in records
        )
        for records in section
    }


def _extended_error(reply: Message) -> str:
    # A resolver may explain a SERVFAIL (RFC 8914).
    reasons = [each.to_text().removeprefix("EDE ") for each in reply.extended_errors()]
    return f" ({'; '.join(reasons)})" if reasons else ""


def _name(text: str) -> str:
    return text.lower().removesuffix(".")


def _text(record: TXT) -> str:
    # A record is a sequence of strings of at most 255 bytes, which count as one (RFC 8555, section 8.4).
    return b"".join(record.strings).decode("ascii", "replace")


def _caa(record: CAA) -> Caa:
    return Caa(record.flags, record.tag.decode("ascii", "replace"), record.value.decode("utf-8", "replace"))
