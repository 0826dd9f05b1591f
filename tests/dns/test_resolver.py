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

#: Public addresses, to which no test connects. The addresses for documentation (RFC 5737) are not public.
ADDRESS, OTHER = "9.9.9.9", "1.1.1.1"

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
    def test_the_domains_own_servers_are_queried(self, dns_world: World, resolver: Resolver) -> None:
        """
        The current records of the domain count, not the records in the cache of a resolver.
        """
        dns_world.zone("shop.org", {"www.shop.org": {"A": [ADDRESS]}}, servers=2)
        dns_world.resolver.rows["www.shop.org"] = {"A": [OTHER]}

        records = resolver.look_up("www.shop.org")

        assert (ADDRESS,) == records.addresses
        assert ["ns1.shop.org", "ns2.shop.org"] == [view.server for view in records.authoritative]
        assert [(OTHER,)] == [view.addresses for view in records.resolvers]

    def test_the_servers_of_the_deepest_zone_count(self, dns_world: World, resolver: Resolver) -> None:
        """
        The name servers of a subdomain count, which may differ from those of its parent.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [OTHER]}})
        dns_world.zone("eu.shop.org", {"www.eu.shop.org": {"A": [ADDRESS]}})

        records = resolver.look_up("www.eu.shop.org")

        assert (ADDRESS,) == records.addresses
        assert ["ns1.eu.shop.org"] == [view.server for view in records.authoritative]

    def test_a_suffix_of_a_hoster_is_a_zone(self, dns_world: World, resolver: Resolver) -> None:
        """
        The zone of a name below a suffix such as duckdns.org, which no registry delegates, is that suffix.
        """
        dns_world.zone("duckdns.org", {"shop.duckdns.org": {"A": [ADDRESS]}})

        records = resolver.look_up("shop.duckdns.org")

        assert ("duckdns.org", "duckdns.org") == (records.zone, records.registered)
        assert ["ns1.duckdns.org"] == [view.server for view in records.authoritative]

    def test_an_alias_is_followed_into_another_domain(self, dns_world: World, resolver: Resolver) -> None:
        """
        The resolver follows an alias to another zone, as custom domains have.
        """
        dns_world.zone("shop.org", {"www.shop.org": {"CNAME": ["edge.far.net"]}})
        dns_world.zone("far.net", {"edge.far.net": {"CNAME": ["eu.far.net"]}, "eu.far.net": {"A": [ADDRESS]}})
        dns_world.servers[0].knows = tuple

        records = resolver.look_up("www.shop.org")

        assert (ADDRESS,) == records.addresses
        assert records.view is not None
        assert ("edge.far.net", "eu.far.net") == records.view.aliases

    def test_an_alias_after_the_time_limit_is_not_followed(
        self, dns_world: World, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        After the time limit, the error of an alias contains the limit, not the number of aliases.
        """
        dns_world.zone("shop.org", {"www.shop.org": {"CNAME": ["edge.far.net"]}})
        dns_world.zone("far.net", {"edge.far.net": {"A": [ADDRESS]}})
        dns_world.servers[0].knows = tuple
        monkeypatch.setattr("certworker.dns.resolver.TIMEOUT_SECONDS", -1.0)

        (view,) = resolver.look_up("www.shop.org").authoritative

        assert "edge.far.net was not found within -1 s" == view.error

    def test_a_loop_of_aliases_ends(self, dns_world: World, resolver: Resolver) -> None:
        """
        A loop of aliases has no addresses.
        """
        dns_world.zone("shop.org", {"a.shop.org": {"CNAME": ["b.far.net"]}})
        dns_world.zone("far.net", {"b.far.net": {"CNAME": ["a.shop.org"]}})
        for server in dns_world.servers:
            server.knows = tuple
        for name in ("a.shop.org", "b.far.net"):
            dns_world.resolver.codes[name, "*"] = "SERVFAIL"

        assert () == resolver.look_up("a.shop.org").addresses

    def test_a_missing_name_and_an_unregistered_domain_differ(
        self, dns_world: World, resolver: Resolver
    ) -> None:
        """
        A missing name differs from an unregistered domain, because the remedies differ.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}})

        assert resolver.look_up("nowhere.shop.org").registered_exists
        unregistered = resolver.look_up("www.gone.org")
        assert ("gone.org", False) == (unregistered.registered, unregistered.registered_exists)

    def test_a_server_that_is_not_authoritative_does_not_count(
        self, dns_world: World, resolver: Resolver
    ) -> None:
        """
        The answer of a server that is not authoritative does not count. An old server may still be
        listed.
        """
        lame = dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}}, servers=2)
        lame.authoritative = False
        lame.rows = {}

        records = resolver.look_up("shop.org")

        assert [NOT_AUTHORITATIVE, ""] == [view.error for view in records.authoritative]
        assert (ADDRESS,) == records.addresses

    def test_the_resolver_counts_if_the_domains_servers_are_silent(
        self, dns_world: World, resolver: Resolver
    ) -> None:
        """
        The resolver counts in a network that blocks other name servers.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}}).silent.add("shop.org")

        records = resolver.look_up("shop.org")

        assert [SILENT] == [view.error for view in records.authoritative]
        assert (ADDRESS,) == records.addresses

    def test_wrong_signatures_are_recognized(self, dns_world: World, resolver: Resolver) -> None:
        """
        Wrong signatures are found, although the name servers of the domain respond.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}})
        dns_world.resolver.bogus.add("shop.org")

        assert resolver.look_up("shop.org").bogus

    def test_one_resolver_proves_that_the_signatures_are_correct(self, dns_world: World) -> None:
        """
        Signatures that one resolver accepts are correct.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}})
        with World() as other:
            other.resolver.bogus.add("shop.org")
            two = Resolver([dns_world.resolver.address, other.resolver.address])

            assert not two.look_up("shop.org").bogus

    def test_a_domain_that_a_local_resolver_does_not_know_is_registered(self, dns_world: World) -> None:
        """
        A domain that a local resolver does not know is still registered.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}})
        with World() as office:
            records = Resolver([dns_world.resolver.address], own=[office.resolver.address]).look_up(
                "shop.org"
            )

        assert records.registered_exists
        assert (ADDRESS,) == records.addresses

    def test_a_failing_server_is_not_bogus(self, dns_world: World, resolver: Resolver) -> None:
        """
        A failing server is not reported as wrong signatures.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}})
        for server in (dns_world.resolver, *dns_world.servers):
            server.codes["shop.org", "*"] = "SERVFAIL"

        records = resolver.look_up("shop.org")
        assert (False, None) == (records.bogus, records.view)

    def test_a_failure_of_one_family_does_not_hide_the_other(
        self, dns_world: World, resolver: Resolver
    ) -> None:
        """
        The A record counts although the query for AAAA fails.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}}).codes["shop.org", "AAAA"] = "SERVFAIL"

        assert (ADDRESS,) == resolver.look_up("shop.org").addresses


class TestCaa:
    def test_the_whole_tree_is_queried(self, dns_world: World, resolver: Resolver) -> None:
        """
        CAA records are queried from the name to the top-level domain.
        """
        dns_world.zone(
            "shop.org", {"shop.org": {"CAA": ['0 issue "ca.org"']}, "www.shop.org": {"A": [ADDRESS]}}
        )

        found = resolver.look_up("www.shop.org").caa

        assert ["www.shop.org", "shop.org", "org"] == [each.name for each in found]
        assert [(), (Caa(0, "issue", "ca.org"),), ()] == [each.records for each in found]

    def test_an_alias_has_the_caa_records_of_its_target(self, dns_world: World, resolver: Resolver) -> None:
        """
        The CAA records of an alias are the records of its target (RFC 8659, section 3).
        """
        dns_world.zone("shop.org", {"www.shop.org": {"CNAME": ["edge.far.net"]}})
        dns_world.zone("far.net", {"edge.far.net": {"A": [ADDRESS], "CAA": ['0 issue ";"']}})
        dns_world.servers[0].knows = tuple

        found = resolver.look_up("www.shop.org").caa[0]

        assert ("edge.far.net", (Caa(0, "issue", ";"),)) == (found.owner, found.records)

    def test_a_failed_lookup_is_an_error(self, dns_world: World, resolver: Resolver) -> None:
        """
        A failed lookup of CAA records is an error, after which a CA must refuse.
        """
        zone = dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}})
        for server in (zone, dns_world.resolver):
            server.codes["shop.org", "CAA"] = "NOTIMP"

        assert "NOTIMP" == resolver.look_up("shop.org").caa[0].error


class TestQueriedServers:
    def test_servers_at_private_addresses_are_not_queried(self, dns_world: World) -> None:
        """
        Name servers at private addresses are not queried, because zones are untrusted.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}})
        dns_world.resolver.rows["ns1.shop.org"] = {"A": ["10.0.0.1", "192.168.1.1", "169.254.169.254"]}

        assert () == Resolver([dns_world.resolver.address]).look_up("shop.org").authoritative

    def test_names_of_this_machine_are_not_queried(self) -> None:
        """
        Names of the loopback interface are not queried (RFC 6761, section 6.3).
        """
        records = Resolver([("127.0.0.1", 1)]).look_up("shop.localhost")

        assert ("127.0.0.1",) == records.addresses

    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
    def test_addresses_are_not_queried(self, address: str) -> None:
        """
        An address needs no query.
        """
        records = Resolver([("127.0.0.1", 9)]).look_up(address)

        assert (address,) == records.addresses
        assert () == records.caa

    def test_without_a_resolver_the_system_resolver_is_used(self) -> None:
        """
        The system resolver is used if none is configured.
        """
        assert ("127.0.0.1",) == Resolver([]).look_up("localhost").addresses
        assert () == Resolver([]).look_up("nowhere.invalid").addresses

    def test_the_addresses_of_name_servers_are_cached(self, dns_world: World, resolver: Resolver) -> None:
        """
        The addresses of the name servers of a domain are cached.
        """
        dns_world.zone("shop.org", {"a.shop.org": {"A": [ADDRESS]}, "b.shop.org": {"A": [ADDRESS]}})
        for name in ("a.shop.org", "b.shop.org"):
            resolver.look_up(name)

        assert 1 == dns_world.resolver.asked.count("ns1.shop.org A")

    def test_a_silent_name_server_costs_little_time(
        self, dns_world: World, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The lookup does not wait until the timeout for a silent name server if another one has
        responded.
        """
        monkeypatch.setattr(udp, "TIMEOUT_SECONDS", 3_600.0)
        dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}}, servers=2)
        dns_world.servers[1].silent.add("shop.org")

        assert (ADDRESS,) == resolver.look_up("shop.org").addresses

    def test_other_records_in_this_network_are_reported(self, dns_world: World) -> None:
        """
        Other records in this network are reported, and do not replace the public records.
        """
        dns_world.zone("shop.org", {"shop.org": {"A": [ADDRESS]}})
        office = World()
        office.resolver.rows["shop.org"] = {"A": ["10.0.0.5"]}

        records = Resolver([dns_world.resolver.address], own=[office.resolver.address]).look_up("shop.org")
        office.stop()

        assert records.system is not None
        assert ("10.0.0.5",) == records.system.addresses
        assert (ADDRESS,) == records.addresses


class TestSystemNameServers:
    def test_the_first_entry_of_resolv_conf_is_used(self, tmp_path: Path) -> None:
        """
        The first entry of resolv.conf is returned.
        """
        file = tmp_path / "resolv.conf"
        file.write_text("# made by Docker\nsearch lan\nnameserver 127.0.0.11\nnameserver 10.0.0.1\n")

        assert (("127.0.0.11", 53),) == system_name_servers(file)

    @pytest.mark.parametrize("text", ["", "nameserver\n", "nameserver fe80::1%eth0\n", "nameserver dns\n"])
    def test_without_a_usable_entry_there_is_none(self, tmp_path: Path, text: str) -> None:
        """
        A file without a usable entry has no name server.
        """
        file = tmp_path / "resolv.conf"
        file.write_text(text)

        assert () == system_name_servers(file)
        assert () == system_name_servers(tmp_path / "missing")

    def test_a_file_that_is_no_text_has_no_name_server(self, tmp_path: Path) -> None:
        """
        A binary or endless file has no name server.
        """
        (tmp_path / "resolv.conf").write_bytes(b"nameserver \xff\n")

        assert () == system_name_servers(tmp_path / "resolv.conf")
        assert () == system_name_servers(Path("/dev/zero"))


class TestResolveSystem:
    def test_localhost_is_this_machine(self) -> None:
        """
        Names below localhost resolve to the loopback interface, without a query.
        """
        assert is_loopback_name("shop.localhost")
        assert not is_loopback_name("localhost.example.org")
        assert [IPv4Address("127.0.0.1")] == resolve_system("shop.localhost")

    @pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 300, "\udcff"])
    def test_an_unknown_name_has_no_addresses(self, host: str) -> None:
        """
        An unknown or invalid name has no addresses.
        """
        assert [] == resolve_system(host)


class TestDomainAndParents:
    def test_parents_end_with_the_top_level_domain(self) -> None:
        """
        The list ends with the top-level domain.
        """
        assert ("www.shop.org", "shop.org", "org") == domain_and_parents(NAME)


class TestServerAddress:
    @pytest.mark.parametrize(
        ("server", "shown"), [(("8.8.8.8", 53), "8.8.8.8"), (("127.0.0.1", 5353), "127.0.0.1:5353")]
    )
    def test_only_an_unusual_port_is_shown(self, server: tuple[str, int], shown: str) -> None:
        """
        A port other than 53 is shown.
        """
        assert shown == server_address(server)


class TestView:
    def test_one_family_is_enough(self) -> None:
        """
        One address family is enough, as for a CA.
        """
        answers = {
            DnsQuestion(OWN, NAME, "A"): DnsAnswer(ttl=60, values={(NAME, "A"): ("9.9.9.9",)}),
            DnsQuestion(OWN, NAME, "AAAA"): DnsAnswer("SERVFAIL"),
        }

        assert ServerView("ns1", ("9.9.9.9",), ttl=60) == view_of("ns1", NAME, OWN, answers)

    def test_without_any_address_the_error_counts(self) -> None:
        """
        The error of either family counts if there is no address.
        """
        answers = {
            DnsQuestion(OWN, NAME, "A"): DnsAnswer(),
            DnsQuestion(OWN, NAME, "AAAA"): DnsAnswer("SERVFAIL"),
        }

        assert ServerView("ns1", error="SERVFAIL") == view_of("ns1", NAME, OWN, answers)


class TestCaaSet:
    def test_the_domains_own_servers_come_first(self) -> None:
        """
        The records of the domain's own servers count, not the records in caches.
        """
        answers = {
            DnsQuestion(OWN, NAME, "CAA"): DnsAnswer(),
            DnsQuestion(PUBLIC, NAME, "CAA"): DnsAnswer(caa={NAME: DENIED}),
        }

        assert CaaSet(NAME, NAME) == caa_set_of(NAME, [OWN], [PUBLIC], answers)

    def test_a_resolver_replaces_a_failed_name_server(self) -> None:
        """
        A resolver counts if the domain's own server fails.
        """
        answers = {
            DnsQuestion(OWN, NAME, "CAA"): DnsAnswer("REFUSED"),
            DnsQuestion(PUBLIC, NAME, "CAA"): DnsAnswer(caa={NAME: DENIED}),
        }

        assert CaaSet(NAME, NAME, DENIED) == caa_set_of(NAME, [OWN], [PUBLIC], answers)

    def test_if_all_fail_the_first_error_is_reported(self) -> None:
        """
        The error of the domain's own server is reported if all servers fail.
        """
        answers = {
            DnsQuestion(OWN, NAME, "CAA"): DnsAnswer("NOTIMP"),
            DnsQuestion(PUBLIC, NAME, "CAA"): DnsAnswer("SERVFAIL"),
        }

        assert CaaSet(NAME, NAME, error="NOTIMP") == caa_set_of(NAME, [OWN], [PUBLIC], answers)
