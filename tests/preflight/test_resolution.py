"""
Tests of the check of DNS records.
"""

from __future__ import annotations

from typing import Any

import pytest

from certworker.dns.query import SILENT
from certworker.dns.records import DnsRecords, ServerView
from certworker.errors import Retry
from certworker.preflight.resolution import check_resolution
from certworker.preflight.result import CheckContext, CheckResult, Outcome

NAME = "www.shop.org"
OURS, OTHER, IPV6 = "9.9.9.9", "1.1.1.1", "2620:fe::fe"
GOOD = ServerView("ns1.shop.org", (OURS,))


def result_for(*authoritative: ServerView, private: bool = False, **more: Any) -> CheckResult:
    """
    Return the result for a name with these records.
    """
    known: dict[str, Any] = {"resolvers": (ServerView("8.8.8.8", (OURS,)),), "registered": "shop.org", **more}
    records = DnsRecords(NAME, authoritative=authoritative, **known)
    return check_resolution(CheckContext(NAME, records), own_addresses=[OURS], private=private)


def codes(result: CheckResult) -> list[str]:
    """
    Return the codes of the warnings of the result.
    """
    return [warning.code for warning in result.warnings]


class TestYes:
    @pytest.mark.parametrize(
        ("view", "seen"),
        [
            (GOOD, "A 9.9.9.9, no AAAA"),
            (ServerView("ns1", (IPV6,)), "no A, AAAA 2620:fe::fe"),
            (ServerView("ns1", (IPV6, OTHER, OURS)), "A 1.1.1.1 and 9.9.9.9, AAAA 2620:fe::fe"),
            (
                ServerView("ns1", (OURS,), aliases=("edge.net", "eu.net")),
                "CNAME edge.net, A 9.9.9.9, no AAAA",
            ),
        ],
    )
    def test_the_evidence_lists_the_addresses(self, view: ServerView, seen: str) -> None:
        """
        The evidence lists the addresses, for the log.
        """
        resolver = ServerView("8.8.8.8", view.addresses)

        assert (Outcome.PASS, seen, []) == (
            (result := result_for(view, resolvers=(resolver,))).outcome,
            result.evidence,
            codes(result),
        )

    def test_a_load_balancer_causes_no_warning(self) -> None:
        """
        Different addresses of a load balancer are not a difference between name servers.
        """
        assert [] == codes(result_for(ServerView("ns1", (OURS, OTHER)), ServerView("ns2", (OTHER,))))


class TestNo:
    @pytest.mark.parametrize(
        ("view", "more", "code"),
        [
            (ServerView("ns1"), {}, "dns.no_record"),
            (ServerView("ns1", exists=False), {}, "dns.no_record"),
            (ServerView("ns1", exists=False), {"registered_exists": False}, "name.not_registered"),
            (ServerView("ns1", ("10.0.0.1", "fd00::1")), {}, "dns.private_ip"),
            (ServerView("ns1", ("100.64.0.1",)), {}, "dns.private_ip"),
            (GOOD, {"bogus": True, "resolvers": (ServerView("8.8.8.8", error="SERVFAIL"),)}, "dns.dnssec"),
            (
                ServerView("ns1", error="SERVFAIL"),
                {"resolvers": (ServerView("8.8.8.8", error="SERVFAIL"),)},
                "dns.servfail",
            ),
            (
                ServerView("ns1", error=SILENT),
                {"resolvers": (ServerView("8.8.8.8", error="SERVFAIL"),)},
                "dns.timeout",
            ),
        ],
    )
    def test_each_has_its_code(self, view: ServerView, more: dict[str, Any], code: str) -> None:
        """
        A CA would refuse each of them.
        """
        result = result_for(view, **more)

        assert Outcome.FAIL is result.outcome
        assert result.failure is not None
        assert (code, Retry.PREFLIGHT) == (result.failure.code, result.failure.retry)

    def test_the_remedy_is_the_record_to_create(self) -> None:
        """
        The remedy is the record to create, field by field.
        """
        result = result_for(ServerView("ns1"))

        assert result.failure is not None
        assert "Create the record: www.shop.org. A 9.9.9.9" == result.failure.remedy


class TestRemarks:
    def test_a_change_that_is_under_way(self) -> None:
        """
        The warning says how long old records stay in caches.
        """
        result = result_for(GOOD, resolvers=(ServerView("8.8.8.8", (OTHER,), ttl=3600),))

        assert ["dns.propagation"] == codes(result)
        assert "3600 s" in result.warnings[0].message

    def test_servers_that_do_not_agree(self) -> None:
        """
        A name server with old records is a warning.
        """
        result = result_for(GOOD, ServerView("ns2.shop.org", (OTHER,)))

        assert ["dns.propagation"] == codes(result)
        assert "ns2.shop.org" in result.warnings[0].message

    def test_another_view_inside(self) -> None:
        """
        Other records in this network are a warning, because the CA is outside.
        """
        assert ["dns.split_horizon"] == codes(result_for(GOOD, system=ServerView("here", ("10.0.0.5",))))
        assert [] == codes(result_for(GOOD, system=ServerView("here", (OURS,))))

    def test_a_private_address_beside_a_public_one(self) -> None:
        """
        A CA ignores private addresses beside public ones.
        """
        result = result_for(ServerView("ns1", (OURS, "10.0.0.1")))

        assert (Outcome.PASS, ["dns.private_ip"]) == (result.outcome, codes(result))


class TestWhatCannotBeKnown:
    def test_without_any_answer_the_domain_is_not_blamed(self) -> None:
        """
        Without any answer the domain is not blamed.
        """
        result = result_for(resolvers=(ServerView("8.8.8.8", error=SILENT),))

        assert (Outcome.PASS, ["dns.container_resolver"]) == (result.outcome, codes(result))

    def test_where_the_resolver_is_silent_this_machines_own_counts(self) -> None:
        """
        In networks that block other resolvers, the resolver of this machine counts.
        """
        result = result_for(
            resolvers=(ServerView("8.8.8.8", error=SILENT),), system=ServerView("here", (OURS,))
        )

        assert "A 9.9.9.9, no AAAA" == result.evidence


class TestPrivateNetwork:
    def test_private_addresses_are_as_good_as_others(self) -> None:
        """
        A private CA connects to private addresses.
        """
        result = result_for(ServerView("ns1", ("10.0.0.1",)), private=True, resolvers=())

        assert (Outcome.PASS, []) == (result.outcome, codes(result))

    def test_a_private_ca_may_know_an_unknown_name(self) -> None:
        """
        A private CA may use another DNS.
        """
        result = result_for(private=True, resolvers=(), system=ServerView("here"))

        assert (Outcome.PASS, ["dns.no_record"]) == (result.outcome, codes(result))

    def test_names_of_the_loopback_interface_pass(self) -> None:
        """
        Names of the loopback interface pass, as in the demo.
        """
        records = DnsRecords("shop.localhost", system=ServerView("here", ("127.0.0.1",)))

        assert CheckResult.passed("this machine") == check_resolution(CheckContext("shop.localhost", records))
