"""
Tests of the resolver.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from certworker.dns import udp
from certworker.dns.query import NOT_AUTHORITATIVE, SILENT, DnsAnswer, DnsQuestion
from certworker.dns.records import Caa, CaaSet, ServerView
from certworker.dns.resolver import (
    Resolver,
    caa_set_of,
    domain_and_parents,
    resolve_system,
    server_address,
    system_name_servers,
    view_of,
)
from certworker.domains.address import is_loopback_name
from tests.servers.zones import World

#: A public address; those of documentation (RFC 5737) are not public. No test connects to it.
OURS, OTHER = "9.9.9.9", "1.1.1.1"

OWN, PUBLIC = ("127.0.0.2", 53), ("8.8.8.8", 53)
NAME = "www.shop.org"
DENIED = (Caa(0, "issue", ";"),)


@pytest.fixture
def resolver(dns_world: World) -> Resolver:
    """
    Return a resolver that uses the resolver of `dns_world`.
    """
    return Resolver([dns_world.resolver.address])


class TestLookUp:
    def test_the_domains_own_servers_are_asked(self, dns_world: World, resolver: Resolver) -> None:
        """
        The current records of the domain count, not those that a public resolver has cached.
        """
        dns_world.zone("shop.org", {"www.shop.org": {"A": [OURS]}}, servers=2)
        dns_world.resolver.rows["www.shop.org"] = {"A": [OTHER]}

        records = resolver.look_up("www.shop.org")

        assert (OURS,) == records.addresses
        assert ["ns1.shop.org", "ns2.shop.org"] == [view.server for view in records.authoritative]
        assert [(OTHER,)] == [view.addresses for view in records.resolvers]

    def test_the_deepest_zone_has_the_name(self, dns_world: World, resolver: Resolver) -> None:
        """
        A subdomain may have other name servers than its parent.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OTHER]}})
        dns_world.zone("eu.shop.org", {"www.eu.shop.org": {"A": [OURS]}})

        records = resolver.look_up("www.eu.shop.org")

        assert (OURS,) == records.addresses
        assert ["ns1.eu.shop.org"] == [view.server for view in records.authoritative]

    def test_an_alias_is_followed_into_another_domain(self, dns_world: World, resolver: Resolver) -> None:
        """
        Custom domains are aliases of the main domain in another zone.
        """
        dns_world.zone("shop.org", {"www.shop.org": {"CNAME": ["edge.far.net"]}})
        dns_world.zone("far.net", {"edge.far.net": {"CNAME": ["eu.far.net"]}, "eu.far.net": {"A": [OURS]}})
        dns_world.servers[0].knows = tuple

        records = resolver.look_up("www.shop.org")

        assert (OURS,) == records.addresses
        assert records.view is not None
        assert ("edge.far.net", "eu.far.net") == records.view.aliases

    def test_an_alias_of_itself_ends(self, dns_world: World, resolver: Resolver) -> None:
        """
        An alias of itself ends.
        """
        dns_world.zone("shop.org", {"a.shop.org": {"CNAME": ["b.far.net"]}})
        dns_world.zone("far.net", {"b.far.net": {"CNAME": ["a.shop.org"]}})
        for server in dns_world.servers:
            server.knows = tuple
        for name in ("a.shop.org", "b.far.net"):
            dns_world.resolver.codes[name, "*"] = "SERVFAIL"

        assert () == resolver.look_up("a.shop.org").addresses

    def test_no_such_name_and_no_such_domain_differ(self, dns_world: World, resolver: Resolver) -> None:
        """
        A missing name and an unregistered domain have different remedies.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}})

        assert resolver.look_up("nowhere.shop.org").registered_exists
        gone = resolver.look_up("www.gone.org")
        assert ("gone.org", False) == (gone.registered, gone.registered_exists)

    def test_a_server_that_is_not_responsible_does_not_count(
        self, dns_world: World, resolver: Resolver
    ) -> None:
        """
        After a move the old name server is often still listed.
        """
        lame = dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}}, servers=2)
        lame.authoritative = False
        lame.rows = {}

        records = resolver.look_up("shop.org")

        assert [NOT_AUTHORITATIVE, ""] == [view.error for view in records.authoritative]
        assert (OURS,) == records.addresses

    def test_where_the_domains_servers_are_silent_the_resolver_counts(
        self, dns_world: World, resolver: Resolver
    ) -> None:
        """
        Networks that block other name servers leave only the resolver.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}}).silent.add("shop.org")

        records = resolver.look_up("shop.org")

        assert [SILENT] == [view.error for view in records.authoritative]
        assert (OURS,) == records.addresses

    def test_broken_signatures_are_recognised(self, dns_world: World, resolver: Resolver) -> None:
        """
        Wrong signatures are found, although the name servers of the domain answer.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}})
        dns_world.resolver.bogus.add("shop.org")

        assert resolver.look_up("shop.org").bogus

    def test_one_good_resolver_shows_that_the_signatures_are_good(self, dns_world: World) -> None:
        """
        One resolver that accepts the signatures is enough.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}})
        with World() as other:
            other.resolver.bogus.add("shop.org")
            two = Resolver([dns_world.resolver.address, other.resolver.address])

            assert not two.look_up("shop.org").bogus

    def test_a_resolver_of_this_network_does_not_unregister_a_domain(self, dns_world: World) -> None:
        """
        A local resolver without the public names does not make a domain unregistered.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}})
        with World() as office:
            records = Resolver([dns_world.resolver.address], own=[office.resolver.address]).look_up(
                "shop.org"
            )

        assert records.registered_exists
        assert (OURS,) == records.addresses

    def test_a_server_that_fails_is_not_called_bogus(self, dns_world: World, resolver: Resolver) -> None:
        """
        A failing server is not reported as wrong signatures.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}})
        for server in (dns_world.resolver, *dns_world.servers):
            server.codes["shop.org", "*"] = "SERVFAIL"

        records = resolver.look_up("shop.org")
        assert (False, None) == (records.bogus, records.view)

    def test_one_family_that_fails_does_not_hide_the_other(
        self, dns_world: World, resolver: Resolver
    ) -> None:
        """
        A CA uses the A record although the query for AAAA fails.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}}).codes["shop.org", "AAAA"] = "SERVFAIL"

        assert (OURS,) == resolver.look_up("shop.org").addresses


class TestCaa:
    def test_the_whole_tree_is_asked(self, dns_world: World, resolver: Resolver) -> None:
        """
        CAA records are queried up to the top-level domain.
        """
        dns_world.zone("shop.org", {"shop.org": {"CAA": ['0 issue "ca.org"']}, "www.shop.org": {"A": [OURS]}})

        found = resolver.look_up("www.shop.org").caa

        assert ["www.shop.org", "shop.org", "org"] == [each.name for each in found]
        assert [(), (Caa(0, "issue", "ca.org"),), ()] == [each.records for each in found]

    def test_those_of_an_alias_are_the_targets(self, dns_world: World, resolver: Resolver) -> None:
        """
        The CAA records of an alias are those of its target (RFC 8659, section 3).
        """
        dns_world.zone("shop.org", {"www.shop.org": {"CNAME": ["edge.far.net"]}})
        dns_world.zone("far.net", {"edge.far.net": {"A": [OURS], "CAA": ['0 issue ";"']}})
        dns_world.servers[0].knows = tuple

        found = resolver.look_up("www.shop.org").caa[0]

        assert ("edge.far.net", (Caa(0, "issue", ";"),)) == (found.owner, found.records)

    def test_a_failed_lookup_is_an_error(self, dns_world: World, resolver: Resolver) -> None:
        """
        A failed lookup of CAA records is an error, because a CA must refuse then.
        """
        zone = dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}})
        for server in (zone, dns_world.resolver):
            server.codes["shop.org", "CAA"] = "NOTIMP"

        assert "NOTIMP" == resolver.look_up("shop.org").caa[0].error


class TestWhomToAsk:
    def test_servers_at_private_addresses_are_not_asked(self, dns_world: World) -> None:
        """
        Name servers at private addresses are not queried: zones are untrusted.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}})
        dns_world.resolver.rows["ns1.shop.org"] = {"A": ["10.0.0.1", "192.168.1.1", "169.254.169.254"]}

        assert () == Resolver([dns_world.resolver.address]).look_up("shop.org").authoritative

    def test_names_of_this_machine_are_not_asked_for(self) -> None:
        """
        Names of the loopback interface are not queried (RFC 6761, section 6.3).
        """
        records = Resolver([("127.0.0.1", 1)]).look_up("shop.localhost")

        assert ("127.0.0.1",) == records.addresses

    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
    def test_addresses_are_not_asked_for(self, address: str) -> None:
        """
        An address needs no query.
        """
        records = Resolver([("127.0.0.1", 9)]).look_up(address)

        assert (address,) == records.addresses
        assert () == records.caa

    def test_without_a_resolver_this_machines_own_is_asked(self) -> None:
        """
        Without a configured resolver the resolver of this machine is used.
        """
        assert ("127.0.0.1",) == Resolver([]).look_up("localhost").addresses
        assert () == Resolver([]).look_up("nowhere.invalid").addresses

    def test_where_the_servers_are_is_remembered(self, dns_world: World, resolver: Resolver) -> None:
        """
        The addresses of the name servers of a domain are cached.
        """
        dns_world.zone("shop.org", {"a.shop.org": {"A": [OURS]}, "b.shop.org": {"A": [OURS]}})
        for name in ("a.shop.org", "b.shop.org"):
            resolver.look_up(name)

        assert 1 == dns_world.resolver.asked.count("ns1.shop.org A")

    def test_a_dead_name_server_costs_little(
        self, dns_world: World, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The lookup does not wait for a name server without an answer until the timeout.
        """
        monkeypatch.setattr(udp, "TIMEOUT_SECONDS", 3_600.0)
        dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}}, servers=2)
        dns_world.servers[1].silent.add("shop.org")

        assert (OURS,) == resolver.look_up("shop.org").addresses

    def test_another_dns_of_this_network_is_seen_beside_it(self, dns_world: World) -> None:
        """
        Another DNS in this network is reported, and does not replace the public one.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OURS]}})
        office = World()
        office.resolver.rows["shop.org"] = {"A": ["10.0.0.5"]}

        records = Resolver([dns_world.resolver.address], own=[office.resolver.address]).look_up("shop.org")
        office.stop()

        assert records.system is not None
        assert ("10.0.0.5",) == records.system.addresses
        assert (OURS,) == records.addresses


class TestOwnServers:
    def test_the_first_of_resolv_conf(self, tmp_path: Path) -> None:
        """
        The first entry of resolv.conf is returned.
        """
        file = tmp_path / "resolv.conf"
        file.write_text("# made by Docker\nsearch lan\nnameserver 127.0.0.11\nnameserver 10.0.0.1\n")

        assert (("127.0.0.11", 53),) == system_name_servers(file)

    @pytest.mark.parametrize("text", ["", "nameserver\n", "nameserver fe80::1%eth0\n", "nameserver dns\n"])
    def test_none_that_can_be_asked(self, tmp_path: Path, text: str) -> None:
        """
        Without a usable entry there is no system resolver.
        """
        file = tmp_path / "resolv.conf"
        file.write_text(text)

        assert () == system_name_servers(file)
        assert () == system_name_servers(tmp_path / "missing")

    def test_a_file_of_another_kind_names_none(self, tmp_path: Path) -> None:
        """
        A file that is not text, or is endless, has no entry.
        """
        (tmp_path / "resolv.conf").write_bytes(b"nameserver \xff\n")

        assert () == system_name_servers(tmp_path / "resolv.conf")
        assert () == system_name_servers(Path("/dev/zero"))


class TestAddressesOf:
    def test_localhost_is_this_machine(self) -> None:
        """
        Names under localhost are on the loopback interface, without a query.
        """
        assert is_loopback_name("shop.localhost")
        assert not is_loopback_name("localhost.example.org")
        assert [IPv4Address("127.0.0.1")] == resolve_system("shop.localhost")

    @pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 300, "\udcff"])
    def test_an_unknown_name_has_none(self, host: str) -> None:
        """
        An unknown or invalid name has no addresses.
        """
        assert [] == resolve_system(host)


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
