"""
Tests of the DNS records that names need.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from certworker.dns.records import DnsRecords, ServerView
from certworker.dns01.delegation import Location
from certworker.dns01.exec import Exec
from certworker.dns01.solver import Plan
from certworker.doctor.records import NeededRecord, needed_records
from certworker.errors.dns01 import CnameElsewhere, NotConfigured
from certworker.settings import load

PROGRAM = Path("/bin/true")
OWNER = "_acme-challenge.shop.org"


def records_for(
    name: str, *addresses: str, aliases: tuple[str, ...] = (), target: Mapping[str, str] | None = None
) -> list[NeededRecord]:
    """
    Return the records that *name* needs if it has these *addresses* and *aliases*.
    """

    def look_up(owner: str) -> DnsRecords:
        return DnsRecords(owner, authoritative=(ServerView("ns", addresses, aliases=aliases),))

    def never(_name: str) -> Plan:
        raise AssertionError

    return list(needed_records(load(target or {}), name, look_up, never))


def delegation_of(provider: Exec | None, *aliases: str, choice: str) -> list[NeededRecord]:
    """
    Return the records that a wildcard needs if its challenge has these *aliases*.
    """
    settings = load({"CERTWORKER_DNS01_PROVIDER": choice, "RFC2136_NAMESERVER": "192.0.2.53"})

    def plan(name: str) -> Plan:
        return Plan(name, Location(OWNER, aliases, "shop.org", ()), provider)

    return list(needed_records(settings, "*.shop.org", DnsRecords, plan))


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

        (right,) = records_for("shop.org", "203.0.113.7", aliases=("edge.example.org",), target=target)
        (wrong,) = records_for("shop.org", "203.0.113.7", aliases=("other.example.org",), target=target)
        (missing,) = records_for("shop.org", target=target)

        assert NeededRecord("shop.org", "CNAME", "edge.example.org", "right") == right
        assert ("wrong", "other.example.org") == (wrong.state, wrong.found)
        assert ("missing", "") == (missing.state, missing.found)

    def test_each_type_of_address_is_a_record(self) -> None:
        """
        Each type of address is a record of its own, so an AAAA record can be missing.
        """
        target = {"_APP_DOMAIN_TARGET_A": "203.0.113.7", "_APP_DOMAIN_TARGET_AAAA": "2001:db8::7"}

        found = records_for("shop.org", "203.0.113.7", target=target)

        assert [("A", "right"), ("AAAA", "missing")] == [(each.kind, each.state) for each in found]


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
