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
from certworker.dns.wire import WireQuery

#: The maximum number of threads for TCP, even if a server truncates all answers. Few answers are truncated.
MAX_TCP_QUERIES = 16

SILENT = "no answer"
NXDOMAIN = "NXDOMAIN"
NOT_AUTHORITATIVE = "not authoritative"
#: A query cannot contain the name, for example because it is too long.
INVALID_NAME = "invalid name"

#: A longer chain of aliases is probably a loop, and is not followed further.
MAX_ALIASES = 8


@dataclass(frozen=True)
class DnsQuestion:
    """
    One query to one server.
    """

    server: Server
    name: str
    #: The record type: A, AAAA, CAA, CNAME, NS, SOA or TXT.
    kind: str
    #: Whether the resolver should skip the validation of signatures (RFC 4035, section 3.2.2).
    unchecked: bool = False
    #: Whether to query only the server's own records, without recursion.
    own: bool = False


@dataclass(frozen=True)
class DnsAnswer:
    """
    The answer of a server.
    """

    #: The error, such as SERVFAIL, REFUSED, or "no answer"; empty for an answer, including NXDOMAIN.
    error: str = ""
    #: Whether the name does not exist.
    missing: bool = False
    #: Whether the server is authoritative for the name.
    authoritative: bool = False
    #: How many seconds a resolver may cache the records; 0 without records.
    ttl: int = 0
    #: The records of the answer section as strings in lower case, by owner and type.
    values: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    #: The CAA records, by owner.
    caa: Mapping[str, tuple[Caa, ...]] = field(default_factory=dict)
    #: The TXT records, by owner, with their original case.
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: The records of the authority section: NS of a child zone, or SOA of the zone of a missing record.
    authority: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    #: The records of the additional section, such as the addresses of name servers.
    glue: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def aliases(self, name: str) -> tuple[str, ...]:
        """
        Return the chain of alias targets that begins at *name*.
        """
        found: list[str] = []
        while target := self.values.get((found[-1] if found else name, "CNAME")):
            found.append(target[0])
            if len(found) > MAX_ALIASES:
                break
        return tuple(found)

    def of(self, name: str, kind: str) -> tuple[str, ...]:
        """
        Return the records of type *kind* of *name*, or of its last alias target if *name* is an alias.
        """
        return self.values.get(((name, *self.aliases(name))[-1], kind), ())

    def owners(self, kind: str) -> tuple[str, ...]:
        """
        Return the owners of the records of type *kind* in the authority section.
        """
        return tuple(owner for owner, found in self.authority if found == kind)


def query_servers(questions: Sequence[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
    """
    Send all *questions* concurrently, and return the answers. A missing answer has the error :data:`SILENT`.

    When each name and type has an answer, the other servers have only a short time left to answer. After a
    truncated answer, the query is sent again over TCP. An invalid name has the error :data:`INVALID_NAME`.
    """
    return _query_all(questions, each_server=False)


def query_each_server(questions: Sequence[DnsQuestion]) -> dict[DnsQuestion, DnsAnswer]:
    """
    Send all *questions* concurrently, wait for each server, and return the answers.

    A server that does not answer over UDP, or that truncates its answer, gets the query over TCP. A missing
    answer has the error :data:`SILENT`, and an invalid name the error :data:`INVALID_NAME`.
    """
    return _query_all(questions, each_server=True)


def _query_all(questions: Sequence[DnsQuestion], *, each_server: bool) -> dict[DnsQuestion, DnsAnswer]:
    built = {
        each: WireQuery.of(each.name, each.kind, unchecked=each.unchecked, own=each.own)
        for each in dict.fromkeys(questions)
    }
    valid = {each: query for each, query in built.items() if query}
    unique, queries = list(valid), list(valid.values())
    replies = exchange(
        [
            UdpQuery(
                each.server,
                each if each_server else (each.name, each.kind, each.unchecked),
                query.content,
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


def _reply(query: WireQuery, content: bytes) -> Message | None:
    if not query.is_answered_by(content):
        return None
    try:
        return dns.message.from_wire(content, continue_on_error=True)
    except (dns.exception.DNSException, ValueError):
        return None


def _complete_replies(
    questions: Sequence[DnsQuestion],
    queries: Sequence[WireQuery],
    replies: Sequence[Message | None],
    over_tcp: Sequence[int],
) -> list[Message | None]:
    """
    Return *replies*, in which answers over TCP replace those with the indexes *over_tcp*.
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


def _over_tcp(question: DnsQuestion, query: WireQuery, deadline: Deadline) -> Message | None:
    address, port = question.server
    try:
        with deadline.connect([Place.of(ip_address(address), port)]) as connection:
            # Over TCP, the length precedes each message (RFC 1035, section 4.2.2).
            connection.sendall(len(query.content).to_bytes(2, "big") + query.content)
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
    # A record of another class can have the same type in another format.
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
    # A record is a sequence of strings of at most 255 bytes (RFC 1035, section 3.3.14), which the CA joins.
    return b"".join(record.strings).decode("ascii", "replace")


def _caa(record: CAA) -> Caa:
    return Caa(record.flags, record.tag.decode("ascii", "replace"), record.value.decode("utf-8", "replace"))
