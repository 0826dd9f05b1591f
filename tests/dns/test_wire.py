"""
Tests of queries as bytes.
"""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest
from dns.message import Message

from certworker.dns.wire import MAX_DATAGRAM_BYTES, WireQuery

NAME = "shop.example.com"


def built(**options: bool) -> tuple[WireQuery, Message]:
    """
    Return a query, and the same query as dnspython reads it.
    """
    query = WireQuery.of(NAME, "CAA", **options)
    assert query
    return query, dns.message.from_wire(query.content)


@pytest.mark.parametrize(
    ("options", "flags"),
    [({}, dns.flags.RD), ({"unchecked": True}, dns.flags.RD | dns.flags.CD), ({"own": True}, 0)],
)
def test_dnspython_builds_the_same_query(options: dict[str, bool], flags: int) -> None:
    """
    The query has the same bytes as one that dnspython builds, except for the id.
    """
    query, _ = built(**options)
    expected = dns.message.make_query(NAME, "CAA", use_edns=True, payload=MAX_DATAGRAM_BYTES)
    expected.flags = dns.flags.Flag(flags)

    assert expected.to_wire()[2:] == query.content[2:]


def test_ids_are_unpredictable() -> None:
    """
    Two queries have different ids, with a probability of one in 2 to the power of 160 that this test fails.
    """
    assert len({built()[1].id for _ in range(11)}) > 1


@pytest.mark.parametrize("name", ["a" * 64 + ".example.com", "a..b", ".".join(["a" * 60] * 5)])
def test_an_invalid_name_has_no_query(name: str) -> None:
    """
    A name with an empty or too long label, or with too many labels, has no query.
    """
    assert WireQuery.of(name, "A") is None


def test_an_answer_repeats_the_question_in_any_case() -> None:
    """
    An answer counts even if the server changes the case of the name.
    """
    query, message = built()
    answer = dns.message.make_response(message).to_wire()

    assert query.is_answered_by(answer)
    assert query.is_answered_by(answer.replace(b"shop", b"sHoP"))


@pytest.mark.parametrize("code", ["FORMERR", "SERVFAIL", "NOTIMP", "REFUSED"])
def test_an_error_may_lack_the_question(code: str) -> None:
    """
    An answer without the question counts only if it is an error.
    """
    query, message = built()
    answer = dns.message.make_response(message)
    answer.question = []
    assert not query.is_answered_by(answer.to_wire())

    answer.set_rcode(dns.rcode.from_text(code))
    assert query.is_answered_by(answer.to_wire())


def test_another_message_is_no_answer() -> None:
    """
    A message with another id, name, type or opcode, a query, and a part of a message are no answers.
    """
    query, message = built()
    answer = dns.message.make_response(message).to_wire()
    identifier = (message.id ^ 1).to_bytes(2, "big")
    kind = dns.message.make_response(dns.message.make_query(NAME, "A", id=message.id)).to_wire()
    notify = answer[:2] + bytes([answer[2] | 0x20]) + answer[3:]

    others = [
        identifier + answer[2:],
        answer.replace(b"shop", b"blog"),
        kind,
        notify,
        query.content,
        answer[:11],
        answer[:20],
        b"",
    ]
    assert [False] * len(others) == [query.is_answered_by(each) for each in others]
