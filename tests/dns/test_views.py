"""
Tests of the views of name servers.
"""

from __future__ import annotations

import pytest

from certworker.dns.query import DnsAnswer, DnsQuestion
from certworker.dns.records import Caa, CaaSet, ServerView
from certworker.dns.views import caa_set_of, domain_and_parents, server_address, view_of

OWN, PUBLIC = ("127.0.0.2", 53), ("8.8.8.8", 53)
NAME = "www.shop.org"
DENIED = (Caa(0, "issue", ";"),)


class TestTree:
    def test_it_ends_at_the_top(self) -> None:
        """
        The tree ends at the top-level domain.
        """
        assert ("www.shop.org", "shop.org", "org") == domain_and_parents(NAME)


class TestPlace:
    @pytest.mark.parametrize(
        ("server", "shown"), [(("8.8.8.8", 53), "8.8.8.8"), (("127.0.0.1", 5353), "127.0.0.1:5353")]
    )
    def test_only_an_unusual_port_is_shown(self, server: tuple[str, int], shown: str) -> None:
        """
        The port is shown only if it is unusual.
        """
        assert shown == server_address(server)


class TestView:
    def test_one_family_is_enough(self) -> None:
        """
        One address family is enough for a CA.
        """
        heard = {
            DnsQuestion(OWN, NAME, "A"): DnsAnswer(ttl=60, values={(NAME, "A"): ("9.9.9.9",)}),
            DnsQuestion(OWN, NAME, "AAAA"): DnsAnswer("SERVFAIL"),
        }

        assert ServerView("ns1", ("9.9.9.9",), ttl=60) == view_of("ns1", NAME, OWN, heard)

    def test_without_any_address_the_trouble_counts(self) -> None:
        """
        Without an address, the error of either family counts.
        """
        heard = {
            DnsQuestion(OWN, NAME, "A"): DnsAnswer(),
            DnsQuestion(OWN, NAME, "AAAA"): DnsAnswer("SERVFAIL"),
        }

        assert ServerView("ns1", error="SERVFAIL") == view_of("ns1", NAME, OWN, heard)


class TestCaaSet:
    def test_the_domains_own_servers_come_first(self) -> None:
        """
        The records of the domain's own servers count, not those in caches.
        """
        heard = {
            DnsQuestion(OWN, NAME, "CAA"): DnsAnswer(),
            DnsQuestion(PUBLIC, NAME, "CAA"): DnsAnswer(caa={NAME: DENIED}),
        }

        assert CaaSet(NAME, NAME) == caa_set_of(NAME, [OWN], [PUBLIC], heard)

    def test_a_resolver_replaces_a_failed_name_server(self) -> None:
        """
        A resolver counts if the domain's own server fails.
        """
        heard = {
            DnsQuestion(OWN, NAME, "CAA"): DnsAnswer("REFUSED"),
            DnsQuestion(PUBLIC, NAME, "CAA"): DnsAnswer(caa={NAME: DENIED}),
        }

        assert CaaSet(NAME, NAME, DENIED) == caa_set_of(NAME, [OWN], [PUBLIC], heard)

    def test_if_all_fail_the_first_error_is_reported(self) -> None:
        """
        If all servers fail, the error of the domain's own server is reported.
        """
        heard = {
            DnsQuestion(OWN, NAME, "CAA"): DnsAnswer("NOTIMP"),
            DnsQuestion(PUBLIC, NAME, "CAA"): DnsAnswer("SERVFAIL"),
        }

        assert CaaSet(NAME, NAME, error="NOTIMP") == caa_set_of(NAME, [OWN], [PUBLIC], heard)
