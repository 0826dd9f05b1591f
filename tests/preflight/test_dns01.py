"""
Tests of the check of DNS-01.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.challenges.challenge import DNS01
from certworker.dns.records import DnsRecords
from certworker.dns01.delegation import Location
from certworker.dns01.exec import Exec
from certworker.dns01.provider import Provider
from certworker.dns01.solver import Plan
from certworker.errors.dns01 import CnameElsewhere, NotConfigured
from certworker.preflight.dns01 import check_dns01
from certworker.preflight.result import CheckContext, CheckResult, Outcome

NAME = "*.shop.org"


def result_for(provider: Provider | None, *aliases: str, hides: str = "") -> CheckResult:
    """
    Return the result if *provider* serves the zone.
    """
    context = CheckContext(NAME, DnsRecords("shop.org"), challenge_type=DNS01)

    def plan(name: str) -> Plan:
        assert "shop.org" == name
        location = Location(f"_acme-challenge.{name}", aliases, "shop.org", (), hides)
        return Plan(name, location, provider)

    return check_dns01(context, plan)


class TestCheckDns01:
    def test_a_served_zone_passes(self) -> None:
        """
        The check passes, and its evidence names the provider and the zone.
        """
        result = result_for(Exec(Path("/bin/true")))

        assert Outcome.PASS is result.outcome
        assert "DNS-01 by exec in the zone shop.org" == result.evidence

    def test_the_evidence_has_the_target_of_the_delegation(self) -> None:
        """
        The evidence names the record at the end of the CNAME records.
        """
        result = result_for(Exec(Path("/bin/true")), "one.acme.net", "two.acme.net")

        expected = (
            "DNS-01 by exec in the zone shop.org; the name of the TXT record is an alias of two.acme.net"
        )
        assert expected == result.evidence

    def test_a_hidden_wildcard_record_is_a_warning(self) -> None:
        """
        A wildcard record that the challenge hides is a warning, because the validation succeeds.
        """
        result = result_for(Exec(Path("/bin/true")), hides="*.org")

        assert (Outcome.PASS, ["dns01.hides_wildcard"]) == (
            result.outcome,
            [warning.code for warning in result.warnings],
        )

    def test_a_zone_without_a_provider_is_a_failure(self) -> None:
        """
        The check raises NotConfigured, which the runner makes its result.
        """
        with pytest.raises(NotConfigured):
            result_for(None)

    def test_an_alias_to_a_zone_without_a_provider_is_a_failure(self) -> None:
        """
        The failure names the target of the alias.
        """
        with pytest.raises(CnameElsewhere, match=r"far\.net"):
            result_for(None, "shop.far.net")
