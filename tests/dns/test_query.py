"""
Test DNS queries to real name servers.
"""

from __future__ import annotations

import pytest
from dns import rrset
from dns.message import make_query, make_response

from certworker.dns import query
from certworker.dns.query import (
    MAX_ALIASES,
    SILENT,
    DnsAnswer,
    DnsQuestion,
    query_each_server,
    query_servers,
)
from certworker.dns.records import Caa
from tests.servers.zones import World

ROWS = {
    "shop.org": {
        "A": ["203.0.113.7", "203.0.113.8"],
        "AAAA": ["2001:db8::7"],
        "CAA": ['0 issue "letsencrypt.org"', '128 Tbs "unknown"'],
    },
    "www.shop.org": {"CNAME": ["shop.org"]},
    "a.shop.org": {"CNAME": ["b.shop.org"]},
    "b.shop.org": {"CNAME": ["a.shop.org"]},
}


def answer_to(world: World, name: str, kind: str, *, unchecked: bool = False) -> DnsAnswer:
    """
    Return the answer of the zone's own name server.
    """
    question = DnsQuestion(world.servers[0].address, name, kind, unchecked)
    return query_servers([question])[question]


@pytest.fixture
def shop(dns_world: World) -> World:
    """
    Run a name server with one zone.
    """
    dns_world.zone("shop.org", ROWS)
    return dns_world


class TestQueryServers:
    def test_an_answer_has_its_records(self, shop: World) -> None:
        """
        The answer has the addresses as text.
        """
        assert {"203.0.113.7", "203.0.113.8"} == set(answer_to(shop, "shop.org", "A").of("shop.org", "A"))
        assert ("2001:db8::7",) == answer_to(shop, "shop.org", "AAAA").of("shop.org", "AAAA")

    def test_caa_records_have_flag_and_tag(self, shop: World) -> None:
        """
        A CAA record has its flag, its tag and its value.
        """
        found = answer_to(shop, "shop.org", "CAA").caa["shop.org"]

        assert {Caa(0, "issue", "letsencrypt.org"), Caa(128, "Tbs", "unknown")} == set(found)

    def test_an_alias_is_followed(self, shop: World) -> None:
        """
        The addresses of an alias are the addresses of its target.
        """
        found = answer_to(shop, "www.shop.org", "A")

        assert ("shop.org",) == found.aliases("www.shop.org")
        assert {"203.0.113.7", "203.0.113.8"} == set(found.of("www.shop.org", "A"))

    def test_a_loop_of_aliases_ends(self, shop: World) -> None:
        """
        A loop of aliases ends without addresses.
        """
        looping = DnsAnswer(values={("a", "CNAME"): ("b",), ("b", "CNAME"): ("a",)})

        assert len(looping.aliases("a")) == MAX_ALIASES + 1
        assert () == looping.of("a", "A")

    def test_nxdomain_is_an_answer(self, shop: World) -> None:
        """
        NXDOMAIN is an answer, not an error.
        """
        found = answer_to(shop, "nowhere.shop.org", "A")

        assert (True, "") == (found.missing, found.error)

    @pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR"])
    def test_an_error_has_the_name_of_its_response_code(self, shop: World, code: str) -> None:
        """
        The error is the name of the response code.
        """
        shop.servers[0].codes["shop.org", "CAA"] = code

        assert code == answer_to(shop, "shop.org", "CAA").error

    def test_a_truncated_answer_is_repeated_over_tcp(self, shop: World) -> None:
        """
        A truncated answer is repeated over TCP.
        """
        shop.servers[0].truncates = True

        assert {"203.0.113.7", "203.0.113.8"} == set(answer_to(shop, "shop.org", "A").of("shop.org", "A"))

    def test_truncated_answers_are_repeated_concurrently(self, shop: World) -> None:
        """
        Truncated answers are repeated concurrently.
        """
        server = shop.servers[0]
        server.truncates, server.delay_seconds = True, 0.7
        questions = [DnsQuestion(server.address, f"{number}.shop.org", "A") for number in range(6)]

        assert {""} == {found.error for found in query_servers(questions).values()}

    def test_an_answer_byte_by_byte_ends_at_the_timeout(
        self, shop: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A name server that sends byte by byte cannot exceed the timeout.
        """
        monkeypatch.setattr(query, "TIMEOUT_SECONDS", 0.5)
        shop.servers[0].truncates, shop.servers[0].trickle_seconds = True, 0.1

        assert SILENT == answer_to(shop, "shop.org", "A").error

    def test_a_missing_answer_is_an_error(self, shop: World) -> None:
        """
        A missing answer is an error, not a result about the name.
        """
        shop.servers[0].silent.add("shop.org")

        assert SILENT == answer_to(shop, "shop.org", "A").error

    @pytest.mark.parametrize("name", ["a." * 130 + "org", "a" * 64 + ".org", "a..org"])
    def test_an_invalid_name_fails_only_its_own_query(self, shop: World, name: str) -> None:
        """
        An invalid name, such as the target of an alias, fails only its own query.
        """
        server = shop.servers[0].address
        questions = [DnsQuestion(server, name, "A"), DnsQuestion(server, "shop.org", "A")]

        for answers in (query_servers(questions), query_each_server(questions)):
            assert ["invalid name", ""] == [answers[each].error for each in questions]

    def test_a_query_can_skip_the_signatures(self, shop: World) -> None:
        """
        A query without validation succeeds, which shows that DNSSEC is the reason.
        """
        shop.servers[0].bogus.add("shop.org")

        assert "SERVFAIL" == answer_to(shop, "shop.org", "A").error
        assert "" == answer_to(shop, "shop.org", "A", unchecked=True).error

    def test_the_explanation_of_a_resolver_is_shown(self, shop: World) -> None:
        """
        The error has the explanation of the resolver (RFC 8914).
        """
        shop.servers[0].bogus.add("shop.org")
        shop.servers[0].reason = (7, "signature expired")

        assert "SERVFAIL (7 (Signature Expired): signature expired)" == answer_to(shop, "shop.org", "A").error


class TestClasses:
    def test_a_record_of_another_class_is_skipped(self) -> None:
        """
        A record of another class is skipped, because its format differs (RFC 1035, section 3.4.1).
        """
        question = make_query("shop.org", "A")
        reply = make_response(question)
        for text in ("shop.org. 60 CH A ns.shop.org. 7", "shop.org. 60 IN A 203.0.113.7"):
            owner, ttl, of_class, kind, *data = text.split()
            reply.answer.append(rrset.from_text(owner, int(ttl), of_class, kind, " ".join(data)))

        assert ("203.0.113.7",) == query._answer(reply).of("shop.org", "A")


class TestSections:
    def test_texts_are_case_sensitive(self, shop: World) -> None:
        """
        A TXT record has upper and lower case, and its strings are joined.
        """
        shop.servers[0].rows["t.shop.org"] = {"TXT": ['"Abc" "Def"', '"x y"']}

        assert {"AbcDef", "x y"} == set(answer_to(shop, "T.shop.org", "TXT").texts["t.shop.org"])

    def test_a_negative_answer_has_the_zone(self) -> None:
        """
        A negative answer has the SOA record of the zone (RFC 2308, section 3).
        """
        reply = make_response(make_query("a.shop.org", "TXT"))
        reply.authority.append(rrset.from_text("Shop.org.", 60, "IN", "SOA", "ns. root. 1 2 3 4 5"))
        reply.authority.append(rrset.from_text("other.org.", 60, "CH", "SOA", "ns. root. 1 2 3 4 5"))

        assert ("shop.org",) == query._answer(reply).owners("SOA")

    def test_a_referral_has_the_servers_of_the_child_zone(self) -> None:
        """
        A referral has the name servers of the child zone and their addresses.
        """
        reply = make_response(make_query("a.eu.shop.org", "TXT"))
        reply.authority.append(rrset.from_text("eu.shop.org.", 60, "IN", "NS", "NS1.eu.shop.org."))
        reply.additional.append(rrset.from_text("ns1.eu.shop.org.", 60, "IN", "A", "203.0.113.7"))
        found = query._answer(reply)

        assert (("ns1.eu.shop.org",), False) == (found.authority["eu.shop.org", "NS"], found.authoritative)
        assert ("203.0.113.7",) == found.glue["ns1.eu.shop.org", "A"]


class TestEachServer:
    def test_a_late_server_is_waited_for(self, shop: World) -> None:
        """
        The answer of another server does not end the wait.
        """
        shop.servers[0].delay_seconds = 0.8
        questions = [
            DnsQuestion(server.address, "shop.org", "A") for server in (shop.resolver, *shop.servers)
        ]

        assert SILENT == query_servers(questions)[questions[1]].error
        assert ["", ""] == [answer.error for answer in query_each_server(questions).values()]

    def test_a_server_without_udp_is_queried_over_tcp(self, shop: World) -> None:
        """
        A query without a response over UDP is repeated over TCP. A firewall may drop datagrams.
        """
        shop.servers[0].tcp_only = True
        question = DnsQuestion(shop.servers[0].address, "shop.org", "A")

        assert SILENT == query_servers([question])[question].error
        assert "" == query_each_server([question])[question].error
