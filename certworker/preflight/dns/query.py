"""
Questions to name servers, and their answers as values (RFC 1035).
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
from certworker.preflight.dns.records import Caa
from certworker.preflight.dns.udp import TIMEOUT_SECONDS, Server, UdpQuery, exchange

#: What every network carries in one piece (DNS flag day 2020).
LARGEST_DATAGRAM = 1232

#: Answers that do not fit into a datagram are rare; a name server that cuts all of them gets no more threads.
QUESTIONS_OVER_TCP = 16

SILENT = "no answer"
MISSING = "NXDOMAIN"

#: A chain of aliases that is longer than that goes in a circle.
MAX_ALIASES = 8


@dataclass(frozen=True)
class DnsQuestion:
    """
    One question to one server.
    """

    server: Server
    name: str
    #: The type of the records: A, AAAA, NS, CAA.
    kind: str
    #: A resolver is not to check signatures (RFC 4035, section 3.2.2).
    unchecked: bool = False


@dataclass(frozen=True)
class DnsAnswer:
    """
    What a server answered.
    """

    #: Why the answer is none: SERVFAIL, REFUSED, no answer …; empty for an answer, NXDOMAIN included.
    error: str = ""
    #: No such name.
    missing: bool = False
    #: It is the server's own knowledge, not hearsay.
    authoritative: bool = False
    #: How long it may be repeated, in seconds.
    ttl: int = 0
    #: By owner and type, as text.
    values: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    #: CAA records by owner.
    caa: Mapping[str, tuple[Caa, ...]] = field(default_factory=dict)

    def aliases(self, name: str) -> tuple[str, ...]:
        """
        The names that *name* stands for, from alias to alias.
        """
        found: list[str] = []
        while target := self.values.get((found[-1] if found else name, "CNAME")):
            found.append(target[0])
            if len(found) > MAX_ALIASES:
                break
        return tuple(found)

    def of(self, name: str, kind: str) -> tuple[str, ...]:
        """
        The records of *name*, or of what it stands for.
        """
        return self.values.get(((name, *self.aliases(name))[-1], kind), ())


def query_servers(questions: Sequence[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
    """
    Ask all *questions* at once. A server that did not answer in time has :data:`SILENT` for its trouble.
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
    whole = _whole_replies(unique, queries, replies)
    return {each: _heard(reply) for each, reply in zip(unique, whole, strict=True)}


def _query(question: DnsQuestion) -> Message:
    query = dns.message.make_query(question.name, question.kind, use_edns=True, payload=LARGEST_DATAGRAM)
    if question.unchecked:
        query.flags |= dns.flags.CD
    return query


def _reply(query: Message, content: bytes) -> Message | None:
    # To take a message to pieces costs more than all the rest, and several questions wait for theirs.
    if int.from_bytes(content[:2], "big") != query.id:
        return None
    try:
        reply = dns.message.from_wire(content, continue_on_error=True)
    except (dns.exception.DNSException, ValueError):
        return None
    return reply if query.is_response(reply) else None


def _whole_replies(
    questions: Sequence[DnsQuestion], queries: Sequence[Message], replies: Sequence[Message | None]
) -> list[Message | None]:
    """
    Return *replies*, and ask again over TCP for each that does not fit into a datagram: all at the same time.
    """
    whole = list(replies)
    cut = [number for number, reply in enumerate(replies) if reply and reply.flags & dns.flags.TC]
    if cut:
        with ThreadPoolExecutor(min(len(cut), QUESTIONS_OVER_TCP)) as connections:
            deadline = Deadline(TIMEOUT_SECONDS)
            asked = [connections.submit(_over_tcp, questions[each], queries[each], deadline) for each in cut]
            for number, reply in zip(cut, asked, strict=True):
                whole[number] = reply.result()
    return whole


def _over_tcp(question: DnsQuestion, query: Message, deadline: Deadline) -> Message | None:
    address, port = question.server
    wire = query.to_wire()
    try:
        with deadline.connect([Place.of(ip_address(address), port)]) as connection:
            # Each message is preceded by its length (RFC 1035, section 4.2.2).
            connection.sendall(len(wire).to_bytes(2, "big") + wire)
            with connection.makefile("rb") as answer:
                return _reply(query, answer.read(int.from_bytes(answer.read(2), "big")))
    except OSError:
        return None


def _heard(reply: Message | None) -> DnsAnswer:
    if reply is None:
        return DnsAnswer(SILENT)
    code = dns.rcode.to_text(reply.rcode())
    if code not in ("NOERROR", MISSING):
        return DnsAnswer(code + _explained(reply))
    values: dict[tuple[str, str], tuple[str, ...]] = {}
    caa: dict[str, tuple[Caa, ...]] = {}
    # A record of another class has the type, but not the form, of one of the Internet.
    answer = [records for records in reply.answer if records.rdclass == dns.rdataclass.IN]
    for records in answer:
        owner, kind = _name(records.name.to_text()), dns.rdatatype.to_text(records.rdtype)
        if kind == "CAA":
            caa[owner] = tuple(_caa(each) for each in records if isinstance(each, CAA))
        values[owner, kind] = tuple(_name(each.to_text()) for each in records)
    return DnsAnswer(
        missing=code == MISSING,
        authoritative=bool(reply.flags & dns.flags.AA),
        ttl=min((records.ttl for records in answer), default=0),
        values=values,
        caa=caa,
    )


def _explained(reply: Message) -> str:
    # RFC 8914: what a resolver says beside SERVFAIL.
    reasons = [each.to_text().removeprefix("EDE ") for each in reply.extended_errors()]
    return f" ({'; '.join(reasons)})" if reasons else ""


def _name(text: str) -> str:
    return text.lower().removesuffix(".")


def _caa(record: CAA) -> Caa:
    return Caa(record.flags, record.tag.decode("ascii", "replace"), record.value.decode("utf-8", "replace"))
