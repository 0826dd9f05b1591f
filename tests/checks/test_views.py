"""
Answers of one server after the other, put together.
"""

from __future__ import annotations

import pytest

from certworker.checks.dns import Ask, Heard
from certworker.checks.records import Caa, CaaSet, View
from certworker.checks.views import caa_set_of, place_of, tree_of, view_of

OWN, PUBLIC = ("127.0.0.2", 53), ("8.8.8.8", 53)
NAME = "www.shop.org"
DENIED = (Caa(0, "issue", ";"),)


class TestTree:
    def test_it_ends_at_the_top(self) -> None:
        """
        The root has no CAA records.
        """
        assert ("www.shop.org", "shop.org", "org") == tree_of(NAME)


class TestPlace:
    @pytest.mark.parametrize(
        ("server", "shown"), [(("8.8.8.8", 53), "8.8.8.8"), (("127.0.0.1", 5353), "127.0.0.1:5353")]
    )
    def test_only_an_odd_port_is_told(self, server: tuple[str, int], shown: str) -> None:
        """
        `dig @8.8.8.8` is what people type.
        """
        assert shown == place_of(server)


class TestView:
    def test_one_family_is_enough(self) -> None:
        """
        A CA goes on with the addresses that it has.
        """
        heard = {
            Ask(OWN, NAME, "A"): Heard(ttl=60, values={(NAME, "A"): ("9.9.9.9",)}),
            Ask(OWN, NAME, "AAAA"): Heard("SERVFAIL"),
        }

        assert View("ns1", ("9.9.9.9",), ttl=60) == view_of("ns1", NAME, OWN, heard)

    def test_without_any_address_the_trouble_counts(self) -> None:
        """
        What one family hides might be the address.
        """
        heard = {Ask(OWN, NAME, "A"): Heard(), Ask(OWN, NAME, "AAAA"): Heard("SERVFAIL")}

        assert View("ns1", trouble="SERVFAIL") == view_of("ns1", NAME, OWN, heard)


class TestCaaSet:
    def test_the_domains_own_servers_come_first(self) -> None:
        """
        A record that was removed a minute ago is still in every cache.
        """
        heard = {Ask(OWN, NAME, "CAA"): Heard(), Ask(PUBLIC, NAME, "CAA"): Heard(caa={NAME: DENIED})}

        assert CaaSet(NAME, NAME) == caa_set_of(NAME, [OWN], [PUBLIC], heard)

    def test_a_resolver_stands_in_for_one_that_fails(self) -> None:
        """
        One lame server of several does not make a CA refuse.
        """
        heard = {
            Ask(OWN, NAME, "CAA"): Heard("REFUSED"),
            Ask(PUBLIC, NAME, "CAA"): Heard(caa={NAME: DENIED}),
        }

        assert CaaSet(NAME, NAME, DENIED) == caa_set_of(NAME, [OWN], [PUBLIC], heard)

    def test_where_all_fail_the_first_reason_is_told(self) -> None:
        """
        It is that of the servers which somebody can repair.
        """
        heard = {Ask(OWN, NAME, "CAA"): Heard("NOTIMP"), Ask(PUBLIC, NAME, "CAA"): Heard("SERVFAIL")}

        assert CaaSet(NAME, NAME, trouble="NOTIMP") == caa_set_of(NAME, [OWN], [PUBLIC], heard)
