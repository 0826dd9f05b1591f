"""
Tests of the DNS records that names need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from certworker.dns.records import Caa, CaaSet, DnsRecords, ServerView
from certworker.dns.resolver import Resolver
from certworker.dns01.delegation import Location
from certworker.dns01.exec import Exec
from certworker.dns01.solver import Plan
from certworker.doctor.records import NeededRecord, needed_records, proof_record
from certworker.errors.caa import CaaLookupFailed
from certworker.errors.dns import NameServersTimeout, NoRecord
from certworker.errors.dns01 import CnameElsewhere, NotConfigured
from certworker.preflight.caa import CaaIssuer
from certworker.preflight.ownership import proof_of
from certworker.settings import load
from tests.servers.bind import HERE, Bind
from tests.servers.ports import free_port
from tests.servers.zones import World

PROGRAM = Path("/bin/true")
OWNER = "_acme-challenge.shop.org"


#: The target of custom domains, a name of another zone.
EDGE = "edge.example.net"
TARGET = {"_APP_DOMAIN_TARGET_CNAME": EDGE}

CA = CaaIssuer("Let's Encrypt", ("letsencrypt.org",), None)


def never(_name: str) -> Plan:
    """
    Fail: the test needs no location of a TXT record.
    """
    raise AssertionError


def records_for(
    name: str, *addresses: str, aliases: tuple[str, ...] = (), target: Mapping[str, str] | None = None
) -> list[NeededRecord]:
    """
    Return the records that *name* needs if it has these *addresses* and *aliases*.
    """

    def look_up(owner: str) -> DnsRecords:
        return DnsRecords(owner, authoritative=(ServerView("ns", addresses, aliases=aliases),))

    return list(needed_records(load(target or {}), name, look_up, never, tuple))


@pytest.fixture
def world() -> Iterator[World]:
    """
    Yield a DNS with the zone of the target, which has one address of each IP version.
    """
    with World() as opened:
        opened.zone("example.net", {EDGE: {"A": ["203.0.113.7"], "AAAA": ["2001:db8::7"]}})
        yield opened


def records_in(
    world: World, name: str, target: Mapping[str, str] = TARGET, issuers: tuple[CaaIssuer, ...] = (CA,)
) -> list[NeededRecord]:
    """
    Return the records that *name* needs, as seen at the authoritative servers of *world*.
    """
    look_up = Resolver([world.resolver.address]).look_up
    return list(needed_records(load(target), name, look_up, never, lambda: issuers))


def shown(records: list[NeededRecord]) -> list[tuple[str, str, str, str]]:
    """
    Return the type, the value, the state and the existing records of each record.
    """
    return [(each.kind, each.value, each.state, each.found) for each in records]


def delegation_of(provider: Exec | None, *aliases: str, choice: str) -> list[NeededRecord]:
    """
    Return the records that a wildcard needs if its challenge has these *aliases*.
    """
    settings = load({"CERTWORKER_DNS01_PROVIDER": choice, "RFC2136_NAMESERVER": "192.0.2.53"})

    def plan(name: str) -> Plan:
        return Plan(name, Location(OWNER, aliases, "shop.org", ()), provider)

    return list(needed_records(settings, "*.shop.org", DnsRecords, plan, tuple))


class TestTarget:
    def test_without_a_target_no_record_is_needed(self) -> None:
        """
        Without a target, a custom domain needs no record.
        """
        assert [] == records_for("shop.org", "203.0.113.7")

    def test_a_custom_domain_is_an_alias_of_the_target(self) -> None:
        """
        The alias of a custom domain is right, wrong or missing.
        """
        target = {"_APP_DOMAIN_TARGET_CNAME": "edge.example.org"}

        (right,) = records_for("www.shop.org", "203.0.113.7", aliases=("edge.example.org",), target=target)
        (missing,) = records_for("www.shop.org", target=target)

        assert NeededRecord("www.shop.org", "CNAME", "edge.example.org", "right") == right
        assert ("missing", "") == (missing.state, missing.found)

    def test_each_type_of_address_is_a_record(self) -> None:
        """
        Each type of address is a record of its own, so an AAAA record can be missing.
        """
        target = {"_APP_DOMAIN_TARGET_A": "203.0.113.7", "_APP_DOMAIN_TARGET_AAAA": "2001:db8::7"}

        found = records_for("shop.org", "203.0.113.7", target=target)

        assert [("A", "right"), ("AAAA", "missing")] == [(each.kind, each.state) for each in found]


class TestAuthoritativeServers:
    def test_the_addresses_of_the_target_replace_the_alias(self, world: World) -> None:
        """
        An alias that the DNS provider has replaced with the addresses of the target is right.
        """
        zone = world.zone("shop.org", {"www.shop.org": {"A": ["203.0.113.7"]}})
        assert [("CNAME", EDGE, "right", "")] == shown(records_in(world, "www.shop.org"))

        zone.rows["www.shop.org"] = {"A": ["203.0.113.7", "203.0.113.66"]}
        assert [("CNAME", EDGE, "wrong", "203.0.113.7, 203.0.113.66")] == shown(
            records_in(world, "www.shop.org")
        )

    def test_the_apex_of_a_zone_needs_addresses(self, world: World) -> None:
        """
        The apex of a zone cannot have a CNAME, so it needs the addresses of the target.
        """
        world.zone("shop.org", {"shop.org": {"A": ["203.0.113.7"]}})
        world.zone("eu.shop.org", {"eu.shop.org": {"SOA": []}})

        assert [("A", "203.0.113.7", "right", ""), ("AAAA", "2001:db8::7", "missing", "")] == shown(
            records_in(world, "shop.org")
        )
        assert [("A", "missing"), ("AAAA", "missing")] == [
            (each.kind, each.state) for each in records_in(world, "eu.shop.org")
        ]

    def test_one_address_of_the_target_is_enough(self, world: World) -> None:
        """
        The apex of a zone needs only one of several addresses of one IP version.
        """
        world.servers[0].rows[EDGE] = {"A": ["203.0.113.7", "203.0.113.8"]}
        zone = world.zone("shop.org", {"shop.org": {"A": ["203.0.113.8"]}})
        assert [("A", "203.0.113.8", "right", "")] == shown(records_in(world, "shop.org"))

        zone.rows["shop.org"] = {"A": ["203.0.113.66"]}
        assert [
            ("A", "203.0.113.7", "wrong", "203.0.113.66"),
            ("A", "203.0.113.8", "wrong", "203.0.113.66"),
        ] == shown(records_in(world, "shop.org"))

    def test_a_target_without_addresses_is_reported(self, world: World) -> None:
        """
        If the target of an apex has no address, the failure names the target.
        """
        world.servers[0].rows[EDGE] = {"TXT": ['"x"']}
        world.zone("shop.org", {"shop.org": {"SOA": []}})

        with pytest.raises(NoRecord, match=EDGE):
            records_in(world, "shop.org")

    def test_the_cache_of_a_resolver_does_not_count(self, world: World) -> None:
        """
        A resolver may still have the old record. The authoritative servers decide.
        """
        world.resolver.rows["www.shop.org"] = {"A": ["203.0.113.7"]}
        zone = world.zone("shop.org", {"www.shop.org": {"A": ["203.0.113.66"]}})
        zone.authoritative = True

        assert [("CNAME", EDGE, "wrong", "203.0.113.66")] == shown(records_in(world, "www.shop.org"))

    def test_a_record_is_right_if_all_servers_show_it(self, world: World) -> None:
        """
        While one of two authoritative servers still has the old record, the record is wrong.
        """
        world.zone("shop.org", {"www.shop.org": {"A": ["203.0.113.7"]}}, servers=2)
        world.servers[-1].rows = {"www.shop.org": {"A": ["203.0.113.66"]}}

        assert [("CNAME", EDGE, "wrong", "203.0.113.66")] == shown(records_in(world, "www.shop.org"))

    def test_silent_servers_are_a_failure(self, world: World) -> None:
        """
        If no authoritative server answers, nothing is known about the records.
        """
        world.resolver.rows["www.shop.org"] = {"A": ["203.0.113.7"]}
        zone = world.zone("shop.org", {"www.shop.org": {"A": ["203.0.113.7"]}})
        zone.silent.add("www.shop.org")

        with pytest.raises(NameServersTimeout):
            records_in(world, "www.shop.org")


class TestCaa:
    def records(self, *records: Caa, issuers: tuple[CaaIssuer, ...] = (CA,), error: str = "") -> object:
        """
        Return the CAA record that a name needs if its parent has *records*.
        """
        found = DnsRecords("www.shop.org", caa=(CaaSet("shop.org", "shop.org", records, error),))
        settings = load({})
        return list(needed_records(settings, "www.shop.org", lambda _: found, never, lambda: issuers))

    @pytest.mark.parametrize("value", ["letsencrypt.org", "digicert.com", ";"])
    def test_a_record_is_needed_if_the_present_ones_forbid_the_ca(self, value: str) -> None:
        """
        Another record, with the same owner, is needed only if the existing records forbid the CA.
        """
        needed = self.records(Caa(0, "issue", value))

        record = NeededRecord("shop.org", "CAA", '0 issue "letsencrypt.org"', "wrong", f'0 issue "{value}"')
        assert ([] if value == "letsencrypt.org" else [record]) == needed

    def test_an_unknown_critical_record_must_lose_its_flag(self) -> None:
        """
        A critical record with an unknown property forbids every CA.
        """
        needed = self.records(Caa(128, "future", 'a "b"'))

        value = r'0 future "a \"b\""'
        assert [NeededRecord("shop.org", "CAA", value, "wrong", f"128{value[1:]}")] == needed

    def test_without_a_ca_that_checks_there_is_no_record(self) -> None:
        """
        The development CA ignores CAA records.
        """
        assert [] == self.records(Caa(0, "issue", ";"), issuers=())

    def test_a_failed_query_is_a_failure(self) -> None:
        """
        A CA refuses a name whose CAA query fails.
        """
        with pytest.raises(CaaLookupFailed):
            self.records(error="SERVFAIL")


class TestProof:
    @pytest.mark.parametrize(
        ("found", "state"),
        [
            (("tenant=acme",), "right"),
            (("v=1", "tenant=acme"), "right"),
            (("v=1",), "wrong"),
            ((), "missing"),
        ],
    )
    def test_the_record_names_the_tenant(self, found: tuple[str, ...], state: str) -> None:
        """
        One of the existing records has to name the tenant. A wildcard needs the record of its base name.
        """
        record = proof_record("*.shop.org", "acme", found)

        assert ("_certworker.shop.org", "TXT", "tenant=acme") == (record.owner, record.kind, record.value)
        assert (state, "v=1" if state == "wrong" else "") == (record.state, record.found)


class TestZoneLine:
    def test_bind_loads_the_lines(self, tmp_path: Path) -> None:
        """
        The lines can be pasted into a zone file, even with hostile texts in the comment.
        """
        lines = [
            NeededRecord("www.shop.org", "CNAME", EDGE, "wrong", "evil\n@ NS evil.org.").zone_line,
            NeededRecord("shop.org", "CAA", '0 issue "letsencrypt.org"', "missing").zone_line,
            NeededRecord("shop.org", "AAAA", "2001:db8::7", "right").zone_line,
            proof_record("shop.org", "ü" * 200, ()).zone_line,
        ]
        with Bind(tmp_path / "bind", (HERE, free_port()), {"shop.org": lines}) as server:
            answers = [
                server.ask(*each).answer[0][0].to_text()
                for each in (("www.shop.org", "CNAME"), ("shop.org", "CAA"), ("shop.org", "AAAA"))
            ]

            texts = server.txt("_certworker.shop.org")

        assert {proof_of("ü" * 200)} == texts
        assert [f"{EDGE}.", '0 issue "letsencrypt.org"', "2001:db8::7"] == answers


class TestDelegation:
    def test_a_served_zone_needs_no_record(self) -> None:
        """
        A name in a zone with a provider needs no record.
        """
        assert [] == delegation_of(Exec(PROGRAM), choice="rfc2136@shop.org")

    def test_an_alias_to_a_served_zone_is_right(self) -> None:
        """
        An alias to a zone with a provider is right.
        """
        aliases = "shop.org.acme.net", "end.acme.net"
        (record,) = delegation_of(Exec(PROGRAM), *aliases, choice="rfc2136@acme.net")

        assert NeededRecord(OWNER, "CNAME", "shop.org.acme.net", "right") == record

    @pytest.mark.parametrize(("aliases", "state"), [((), "missing"), (("far.example.net",), "wrong")])
    def test_the_needed_alias_points_to_the_zone_of_a_provider(
        self, aliases: tuple[str, ...], state: str
    ) -> None:
        """
        The needed alias points to the zone of a provider, and the record shows the existing alias.
        """
        (record,) = delegation_of(None, *aliases, choice="rfc2136@acme.net")

        assert (OWNER, "CNAME", f"{OWNER}.acme.net") == (record.owner, record.kind, record.value)
        assert (state, "".join(aliases)) == (record.state, record.found)

    def test_without_a_zone_there_is_no_record_to_create(self) -> None:
        """
        Without a zone of a provider, the function raises the failure of the challenge.
        """
        with pytest.raises(NotConfigured):
            delegation_of(None, choice="rfc2136")
        with pytest.raises(CnameElsewhere):
            delegation_of(None, "far.example.net", choice="rfc2136")
