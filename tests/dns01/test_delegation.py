"""
Tests of the search for the zone and the servers of a record, with real BIND servers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from certworker.dns.query import MAX_ALIASES
from certworker.dns01 import delegation
from certworker.dns01.delegation import HOST_NAME, MAX_SERVERS, Delegations, Location
from certworker.errors.dns import ContainerResolver, NameServersFail, NameServersTimeout
from certworker.errors.dns01 import CnameElsewhere
from tests.dns01.network import Network
from tests.servers.ports import free_port

#: A target that is not a host name.
STRANGE = "a\\032b.far.net."

LINES = [
    "www A 192.0.2.1",
    "_acme-challenge.alias CNAME k1.far.net.",
    "_acme-challenge.twice CNAME _acme-challenge.alias",
    "_acme-challenge.loop CNAME _acme-challenge.back",
    "_acme-challenge.back CNAME _acme-challenge.loop",
    "_acme-challenge.gone CNAME x.gone.net.",
    f"_acme-challenge.strange CNAME {STRANGE}",
    "_acme-challenge.tocut CNAME k2.child",
    "*.apps CNAME edge",
    "_acme-challenge.own.apps CNAME k3.far.net.",
    "edge A 192.0.2.1",
    "*.sites A 192.0.2.7",
    "there.sites A 192.0.2.8",
    "*.outer A 192.0.2.7",
    "*.inner.outer A 192.0.2.7",
    "_acme-challenge.thief CNAME victim.wild.far.net.",
    "_acme-challenge.thief2 CNAME _x.victim.wild.far.net.",
    "_acme-challenge.honest CNAME _x.wild.far.net.",
    *(f"_acme-challenge.n{number} CNAME _acme-challenge.n{number + 1}" for number in range(MAX_ALIASES + 2)),
]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """
    Run the servers of example.com, child.example.com and far.net.
    """
    with Network(tmp_path_factory.mktemp("dns")) as made:
        child = made.address()[0]
        cut = ["child NS ns1.child", f"ns1.child A {child}"]
        made.bind("example.com", [*LINES, *cut], same_example_com=["www A 192.0.2.1"])
        made._hosts -= 2
        made.bind("child.example.com", ["www A 192.0.2.1"])
        made._hosts += 1
        for name in ("child.example.com", "ns1.child.example.com"):
            # Only the servers of the parent know the delegation.
            del made.resolver.rows[name]
        made.bind("far.net", ["*.wild A 192.0.2.9", "*.wild AAAA 2001:db8::9"])
        yield made


def find(network: Network, name: str) -> Location:
    """
    Return the location of the record for *name*.
    """
    return network.delegations().find(f"_acme-challenge.{name}")


class TestZones:
    def test_the_zone_of_a_name_is_found(self, network: Network) -> None:
        """
        The zone of a name contains its record.
        """
        location = find(network, "www.example.com")

        assert ("_acme-challenge.www.example.com", "example.com") == (location.fqdn, location.zone)
        assert ["ns1.example.com"] == [server.name for server in location.servers]

    def test_a_resolver_gets_no_query_for_the_name_of_a_challenge(self, network: Network) -> None:
        """
        No query for the name of a challenge goes to a resolver, which would cache that no record
        exists.
        """
        network.resolver.asked.clear()

        for name in ("www.example.com", "alias.example.com", "www.child.example.com", "example.com"):
            find(network, name)

        assert network.resolver.asked
        queried = {question.partition(" ")[0] for question in network.resolver.asked}
        assert not {name for name in queried if name.startswith(("_acme-challenge", "k1"))}

    def test_a_delegated_child_zone_has_the_record(self, network: Network) -> None:
        """
        A delegated child zone contains the record, because the servers of the parent refer to its
        servers.
        """
        location = find(network, "www.child.example.com")

        assert "child.example.com" == location.zone
        assert ["ns1.child.example.com"] == [server.name for server in location.servers]

    def test_a_child_zone_on_the_same_server_has_the_record(self, network: Network) -> None:
        """
        A child zone on the same server contains the record, because its SOA record names it.
        """
        assert "same.example.com" == find(network, "www.same.example.com").zone

    def test_a_zone_can_have_one_label(self, network: Network) -> None:
        """
        A zone of one label contains the record, for example in a private network.
        """
        network.fake("lan").rows = {"lan": {"NS": ["ns1.lan"]}}

        assert "lan" == find(network, "printer.lan").zone

    def test_all_addresses_of_all_servers_are_found(self, network: Network) -> None:
        """
        The location has all addresses of all servers, because the CA selects any of them.
        """
        server = network.fake("many.org")
        network.register("many.org", {"a.many.org": [server.host, "::1"], "b.many.org": [server.host]})
        server.rows["many.org"] = {"NS": ["a.many.org", "b.many.org"]}

        a, b = find(network, "many.org").servers

        assert ((server.host, network.port), ("::1", network.port)) == a.addresses
        assert ((server.host, network.port),) == b.addresses

    def test_the_zone_names_its_own_servers(self, network: Network) -> None:
        """
        The servers are those of the zone's own NS records, because a resolver may have an old list.
        """
        server = network.fake("moved.org")
        network.resolver.rows["ns9.moved.org"] = {"A": [server.host]}
        server.rows["moved.org"] = {"NS": ["ns1.moved.org", "ns9.moved.org"]}

        assert ["ns1.moved.org", "ns9.moved.org"] == [
            each.name for each in find(network, "moved.org").servers
        ]

    def test_zone_and_servers_are_cached(self, network: Network) -> None:
        """
        A second search for the same name sends no query to the resolver.
        """
        delegations = network.delegations()
        delegations.find("_acme-challenge.www.example.com")
        network.resolver.asked.clear()

        delegations.find("_acme-challenge.www.example.com")

        assert [] == network.resolver.asked


class TestAliases:
    def test_an_alias_is_followed_into_another_zone(self, network: Network) -> None:
        """
        The record of a name with a CNAME is in the zone of the CNAME's target.
        """
        location = find(network, "alias.example.com")

        assert ("k1.far.net", "far.net", ("k1.far.net",)) == (location.fqdn, location.zone, location.aliases)

    def test_a_chain_is_followed_to_its_end(self, network: Network) -> None:
        """
        A chain of aliases is followed to its last name, each in its own zone.
        """
        location = find(network, "twice.example.com")

        assert ("_acme-challenge.alias.example.com", "k1.far.net") == location.aliases

    def test_the_target_of_an_alias_can_be_in_a_delegated_zone(self, network: Network) -> None:
        """
        The target of an alias can be in a delegated zone.
        """
        assert "child.example.com" == find(network, "tocut.example.com").zone

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("loop", "a loop"),
            ("n0", "more than 8 aliases"),
            ("gone", "its domain does not exist"),
            ("strange", "not a host name"),
        ],
    )
    def test_an_invalid_alias_is_a_failure(self, network: Network, name: str, reason: str) -> None:
        """
        An alias that leads to no valid name is a failure with the whole chain.
        """
        with pytest.raises(CnameElsewhere, match=reason) as caught:
            find(network, f"{name}.example.com")

        assert f"_acme-challenge.{name}.example.com → " in caught.value.message

    def test_an_alias_of_a_wildcard_is_not_followed(self, network: Network) -> None:
        """
        A CNAME that a wildcard synthesizes is not followed, because a TXT record overrides it.
        """
        location = find(network, "shop.apps.example.com")

        assert ("_acme-challenge.shop.apps.example.com", "example.com") == (location.fqdn, location.zone)
        assert "_acme-challenge.apps.example.com" == find(network, "apps.example.com").fqdn

    def test_an_alias_next_to_a_wildcard_is_followed(self, network: Network) -> None:
        """
        A CNAME with its own record is followed although a wildcard matches the name.
        """
        assert "k3.far.net" == find(network, "own.apps.example.com").fqdn


class TestWildcards:
    @pytest.mark.parametrize("name", ["shop.sites", "shop.apps", "shop.outer", "shop.inner.outer"])
    def test_a_record_below_a_host_of_a_wildcard_hides_the_wildcard(
        self, network: Network, name: str
    ) -> None:
        """
        A TXT record below a host without records hides the host's wildcard (RFC 4592, section 2.2.2).
        """
        hidden = f"*.{name.partition('.')[2]}.example.com"

        assert hidden == find(network, f"{name}.example.com").hides

    @pytest.mark.parametrize("name", ["there.sites", "sites", "apps", "www", "inner.outer"])
    def test_a_record_of_another_name_hides_no_wildcard(self, network: Network, name: str) -> None:
        """
        A TXT record hides no wildcard if the host has records of its own, or no wildcard matches it.
        """
        assert "" == find(network, f"{name}.example.com").hides

    @pytest.mark.parametrize("name", ["thief", "thief2"])
    def test_an_alias_cannot_hide_a_wildcard_of_another_zone(self, network: Network, name: str) -> None:
        """
        An alias that would hide a wildcard of another zone is a failure, because it would disable other
        sites.
        """
        with pytest.raises(CnameElsewhere, match=r"would hide the wildcard \*\.wild\.far\.net"):
            find(network, f"{name}.example.com")

    def test_an_alias_to_a_name_with_an_underscore_is_followed(self, network: Network) -> None:
        """
        An alias to a name with an underscore is followed, because no host has such a name.
        """
        assert "_x.wild.far.net" == find(network, "honest.example.com").fqdn


class TestFailures:
    def test_an_unreachable_resolver_is_named(self) -> None:
        """
        The failure names a resolver that does not answer.
        """
        port = free_port()
        with pytest.raises(ContainerResolver, match=f"127.0.0.1:{port} gave no answer"):
            Delegations([("127.0.0.1", port)], private=True).find("_acme-challenge.example.com")

    def test_a_search_without_resolvers_is_a_failure(self) -> None:
        """
        A search without a resolver is a failure.
        """
        with pytest.raises(ContainerResolver, match=r"example\.com: it has no resolver"):
            Delegations([], private=True).find("_acme-challenge.example.com")

    def test_servers_that_refuse_are_named(self, network: Network) -> None:
        """
        The failure has the address and the answer of a server that refuses the query.
        """
        server = network.fake("refused.org")
        server.codes["_acme-challenge.refused.org", "*"] = "REFUSED"

        with pytest.raises(NameServersFail, match=rf"{server.host}:\d+: REFUSED"):
            find(network, "refused.org")

    def test_a_server_without_the_zone_is_named(self, network: Network) -> None:
        """
        The failure names a server that is not authoritative for the zone, for example a resolver.
        """
        network.fake("lame.org").authoritative = False

        with pytest.raises(NameServersFail, match="not authoritative"):
            find(network, "lame.org")

    def test_unreachable_servers_are_named(self, network: Network) -> None:
        """
        The failure names the servers of a zone that do not answer.
        """
        down = network.address()[0]
        network.register("down.org", {"ns1.down.org": [down]})

        with pytest.raises(NameServersTimeout, match=rf"{down}:\d+: no answer"):
            find(network, "down.org")

    def test_one_reachable_server_is_sufficient(self, network: Network) -> None:
        """
        The search succeeds with one reachable server. The propagation needs all of them.
        """
        server = network.fake("half.org")
        network.register("half.org", {"a.half.org": [network.address()[0]], "ns1.half.org": [server.host]})

        assert "half.org" == find(network, "half.org").zone

    def test_a_name_outside_of_all_zones_is_a_failure(self, network: Network) -> None:
        """
        A name for which no zone exists is a failure.
        """
        with pytest.raises(NameServersFail, match=r"no zone contains www\.nowhere"):
            find(network, "www.nowhere")

    def test_a_zone_without_addresses_is_a_failure(self, network: Network) -> None:
        """
        A zone whose servers have no addresses is a failure that names its NS records.
        """
        network.register("empty.org", {"ns1.empty.org": []})

        with pytest.raises(NameServersFail, match=r"no name server has an address \(ns1\.empty\.org\)"):
            find(network, "empty.org")

    def test_slow_servers_cannot_exceed_the_deadline(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The search ends at its deadline, even with slow servers.
        """
        monkeypatch.setattr(delegation, "TIMEOUT_SECONDS", -1.0)

        with pytest.raises(NameServersTimeout, match="was not found within"):
            find(network, "www.example.com")


class TestHostileAnswers:
    def test_a_hundred_aliases_in_one_answer_are_one_step(self, network: Network) -> None:
        """
        The search reads one alias from each answer, and follows eight.
        """
        server = network.fake("chain.org")
        server.rows["chain.org"] = {"NS": ["ns1.chain.org"]}
        for number in range(100):
            server.rows[f"_acme-challenge.a{number}.chain.org"] = {
                "CNAME": [f"_acme-challenge.a{number + 1}.chain.org"]
            }
        server.asked.clear()

        with pytest.raises(CnameElsewhere, match="more than 8 aliases"):
            find(network, "a0.chain.org")

        assert len([each for each in server.asked if each.endswith("CNAME")]) < 60

    def test_a_server_can_refer_only_to_child_zones(self, network: Network) -> None:
        """
        A referral to a zone outside of the server's own zone is a failure.
        """
        server = network.fake("evil.org")
        server.authoritative = False
        server.refer = lambda _name: ("far.net", ["ns1.far.net"])

        with pytest.raises(NameServersFail, match="not authoritative"):
            find(network, "evil.org")

    def test_the_number_of_referrals_has_a_limit(
        self, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A server that refers to one child zone after another is a failure.
        """
        monkeypatch.setattr(delegation, "MAX_CUTS", 3)
        server = network.fake("deep.org")
        server.authoritative = False
        zones = ["f.deep.org", "e.f.deep.org", "d.e.f.deep.org", "c.d.e.f.deep.org"]

        def refer(name: str) -> tuple[str, list[str]]:
            return zones[server.asked.count(f"{name} CNAME") - 1], ["ns1.deep.org"]

        server.refer = refer
        with pytest.raises(NameServersFail, match="too many zones"):
            find(network, "a.b.c.d.e.f.deep.org")

    def test_an_alias_of_full_length_is_followed(self, network: Network) -> None:
        """
        An alias of the maximum length is followed, although its wildcards would be too long.
        """
        server = network.fake("long.org")
        target = f"a.{'.'.join(['b' * 60] * 4)[:242]}.long.org"
        server.rows["long.org"] = {"NS": ["ns1.long.org"]}
        server.rows["_acme-challenge.long.org"] = {"CNAME": [target]}
        server.rows[target] = {"A": ["192.0.2.1"]}

        assert 253 == len(target)
        assert target == find(network, "long.org").fqdn

    @pytest.mark.parametrize(
        ("target", "reason"), [("x." * 40 + "far.net", "not a host name"), ("k1._domainkey.far.net", "DKIM")]
    )
    def test_an_alias_to_a_reserved_or_expensive_name_is_not_followed(
        self, network: Network, target: str, reason: str
    ) -> None:
        """
        An alias to a very deep name or to a DKIM record is a failure.
        """
        server = network.fake("costly.org")
        server.rows["costly.org"] = {"NS": ["ns1.costly.org"]}
        server.rows["_acme-challenge.costly.org"] = {"CNAME": [target]}

        with pytest.raises(CnameElsewhere, match=reason):
            find(network, "costly.org")

    @pytest.mark.parametrize("addresses", [["0.0.0.0"], []])
    def test_a_zone_that_lists_unusable_servers_has_those_of_its_parent(
        self, network: Network, addresses: list[str]
    ) -> None:
        """
        A zone whose own NS records lead to no usable address has the servers of its parent.
        """
        server = network.fake("split.org")
        server.rows["split.org"] = {"NS": ["inside.split.org"]}
        network.resolver.rows["inside.split.org"] = {"A": addresses}
        delegations = network.delegations()

        for name in ("a.split.org", "b.split.org"):
            (found,) = delegations.find(f"_acme-challenge.{name}").servers
            assert ("ns1.split.org", (server.address,)) == (found.name, found.addresses)

    def test_the_number_of_name_servers_has_a_limit(self, network: Network) -> None:
        """
        The search uses a limited number of a zone's servers, and sends a limited number of queries.
        """
        server = network.fake("wide.org")
        names = [f"ns{number}.wide.org" for number in range(300)]
        network.register("wide.org", {name: [server.host] for name in names})
        server.rows["wide.org"] = {"NS": names}
        network.resolver.asked.clear()

        assert MAX_SERVERS == len(find(network, "wide.org").servers)
        assert len(network.resolver.asked) < 100


class TestAddresses:
    @pytest.mark.parametrize(
        ("resolver", "private", "expected"),
        [
            ("8.8.8.8", False, {"9.9.9.9"}),
            ("8.8.8.8", True, {"9.9.9.9", "10.0.0.1"}),
            ("10.0.0.53", False, {"9.9.9.9", "10.0.0.1"}),
            ("127.0.0.1", False, {"9.9.9.9", "10.0.0.1", "127.0.0.2"}),
        ],
    )
    def test_private_addresses_need_a_private_network(
        self, resolver: str, private: bool, expected: set[str]
    ) -> None:
        """
        A private address of a name server is used only in a private network, because any zone can name
        one.
        """
        delegations = Delegations([(resolver, 53)], private=private)
        addresses = ("9.9.9.9", "10.0.0.1", "127.0.0.2", "0.0.0.0", "224.0.0.251", "::", "no address")

        assert expected == {each for each in addresses if delegations._server(each)}
        assert (resolver == "127.0.0.1") == bool(delegations._server("::ffff:127.0.0.1"))


class TestHostName:
    @pytest.mark.parametrize("name", ["a.org", "_acme-challenge.a-b.org", "_x", "a" * 63 + ".org"])
    def test_a_valid_name_matches(self, name: str) -> None:
        """
        A name that a provider can create matches. Underscores are usual in names of challenges.
        """
        assert HOST_NAME.fullmatch(name)

    @pytest.mark.parametrize(
        "name",
        ["", "a..org", "-a.org", "a b.org", "a\n.org", "*.a.org", "$(id).org", "a" * 64, "a." * 127 + "a"],
    )
    def test_an_unsafe_name_does_not_match(self, name: str) -> None:
        """
        A name with characters of scripts or APIs does not match.
        """
        assert not HOST_NAME.fullmatch(name)
