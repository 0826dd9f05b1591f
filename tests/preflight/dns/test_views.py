"""
Answers of one server after the other, put together.
"""

from __future__ import annotations

import pytest

from certworker.preflight.dns.query import DnsAnswer, DnsQuestion
from certworker.preflight.dns.records import Caa, CaaSet, ServerView
from certworker.preflight.dns.views import caa_set_of, domain_and_parents, server_address, view_of

OWN, PUBLIC = ("127.0.0.2", 53), ("8.8.8.8", 53)
NAME = "www.shop.org"
DENIED = (Caa(0, "issue", ";"),)


class TestTree:
    def test_it_ends_at_the_top(self) -> None:
        """
        The root has no CAA records.
        """
        assert ("www.shop.org", "shop.org", "org") == domain_and_parents(NAME)


class TestPlace:
    @pytest.mark.parametrize(
        ("server", "shown"), [(("8.8.8.8", 53), "8.8.8.8"), (("127.0.0.1", 5353), "127.0.0.1:5353")]
    )
    def test_only_an_odd_port_is_told(self, server: tuple[str, int], shown: str) -> None:
        """
        `dig @8.8.8.8` is what people type.
        """
        assert shown == server_address(server)


class TestView:
    def test_one_family_is_enough(self) -> None:
        """
        A CA goes on with the addresses that it has.
        """
        heard = {
            DnsQuestion(OWN, NAME, "A"): DnsAnswer(ttl=60, values={(NAME, "A"): ("9.9.9.9",)}),
            DnsQuestion(OWN, NAME, "AAAA"): DnsAnswer("SERVFAIL"),
        }

        assert ServerView("ns1", ("9.9.9.9",), ttl=60) == view_of("ns1", NAME, OWN, heard)

    def test_without_any_address_the_trouble_counts(self) -> None:
        """
        What one family hides might be the address.
        """
        heard = {
            DnsQuestion(OWN, NAME, "A"): DnsAnswer(),
            DnsQuestion(OWN, NAME, "AAAA"): DnsAnswer("SERVFAIL"),
        }

        assert ServerView("ns1", error="SERVFAIL") == view_of("ns1", NAME, OWN, heard)


class TestCaaSet:
    def test_the_domains_own_servers_come_first(self) -> None:
        """
        A record that was removed a minute ago is still in every cache.
        """
        heard = {
            DnsQuestion(OWN, NAME, "CAA"): DnsAnswer(),
            DnsQuestion(PUBLIC, NAME, "CAA"): DnsAnswer(caa={NAME: DENIED}),
        }

        assert CaaSet(NAME, NAME) == caa_set_of(NAME, [OWN], [PUBLIC], heard)

    def test_a_resolver_stands_in_for_one_that_fails(self) -> None:
        """
        One lame server of several does not make a CA refuse.
        """
        heard = {
            DnsQuestion(OWN, NAME, "CAA"): DnsAnswer("REFUSED"),
            DnsQuestion(PUBLIC, NAME, "CAA"): DnsAnswer(caa={NAME: DENIED}),
        }

        assert CaaSet(NAME, NAME, DENIED) == caa_set_of(NAME, [OWN], [PUBLIC], heard)

    def test_where_all_fail_the_first_reason_is_told(self) -> None:
        """
        It is that of the servers which somebody can repair.
        """
        heard = {
            DnsQuestion(OWN, NAME, "CAA"): DnsAnswer("NOTIMP"),
            DnsQuestion(PUBLIC, NAME, "CAA"): DnsAnswer("SERVFAIL"),
        }

        assert CaaSet(NAME, NAME, error="NOTIMP") == caa_set_of(NAME, [OWN], [PUBLIC], heard)
