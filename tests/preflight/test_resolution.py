"""
Tests of the check of DNS records.
"""

from __future__ import annotations

from typing import Any

import pytest

from certworker.dns.query import SILENT
from certworker.dns.records import DnsRecords, ServerView
from certworker.errors import Retry
from certworker.preflight.resolution import check_resolution, failure_without_answer
from certworker.preflight.result import CheckContext, CheckResult, Outcome

NAME = "www.shop.org"
OWN, OTHER, IPV6 = "9.9.9.9", "1.1.1.1", "2620:fe::fe"
GOOD = ServerView("ns1.shop.org", (OWN,))


def result_for(*authoritative: ServerView, private: bool = False, **more: Any) -> CheckResult:
    """
    Return the result for a name with these records.
    """
    known: dict[str, Any] = {"resolvers": (ServerView("8.8.8.8", (OWN,)),), "registered": "shop.org", **more}
    records = DnsRecords(NAME, authoritative=authoritative, **known)
    return check_resolution(CheckContext(NAME, records), own_addresses=[OWN], private=private)


def codes(result: CheckResult) -> list[str]:
    """
    Return the codes of the warnings of *result*.
    """
    return [warning.code for warning in result.warnings]


class TestPasses:
    @pytest.mark.parametrize(
        ("view", "seen"),
        [
            (GOOD, "A 9.9.9.9, no AAAA"),
            (ServerView("ns1", (IPV6,)), "no A, AAAA 2620:fe::fe"),
            (ServerView("ns1", (IPV6, OTHER, OWN)), "A 1.1.1.1 and 9.9.9.9, AAAA 2620:fe::fe"),
            (
                ServerView("ns1", (OWN,), aliases=("edge.net", "eu.net")),
                "CNAME edge.net, A 9.9.9.9, no AAAA",
            ),
        ],
    )
    def test_the_evidence_lists_the_addresses(self, view: ServerView, seen: str) -> None:
        """
        The evidence lists the aliases and addresses, for the log.
        """
        resolver = ServerView("8.8.8.8", view.addresses)

        assert (Outcome.PASS, seen, []) == (
            (result := result_for(view, resolvers=(resolver,))).outcome,
            result.evidence,
            codes(result),
        )

    def test_a_load_balancer_causes_no_warning(self) -> None:
        """
        Name servers with different addresses of a load balancer cause no warning.
        """
        assert [] == codes(result_for(ServerView("ns1", (OWN, OTHER)), ServerView("ns2", (OTHER,))))


class TestFailures:
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
    def test_each_failure_has_its_code(self, view: ServerView, more: dict[str, Any], code: str) -> None:
        """
        Each problem that a CA refuses has its code.
        """
        result = result_for(view, **more)

        assert Outcome.FAIL is result.outcome
        assert result.failure is not None
        assert (code, Retry.PREFLIGHT) == (result.failure.code, result.failure.retry)

    @pytest.mark.parametrize(
        ("own", "record"),
        [
            ((OWN,), "www.shop.org. A 9.9.9.9"),
            ((IPV6,), "www.shop.org. AAAA 2620:fe::fe"),
            ((OWN, IPV6), "www.shop.org. A 9.9.9.9 and www.shop.org. AAAA 2620:fe::fe"),
            ((), "www.shop.org. A (the public address of this server)"),
        ],
    )
    @pytest.mark.parametrize("addresses", [(), ("10.0.0.1",)])
    def test_the_remedy_is_the_record_to_create(
        self, own: tuple[str, ...], record: str, addresses: tuple[str, ...]
    ) -> None:
        """
        The remedy is a record for each address of this server: A for IPv4, and AAAA for IPv6.
        """
        records = DnsRecords(NAME, authoritative=(ServerView("ns1", addresses),), registered="shop.org")
        result = check_resolution(CheckContext(NAME, records), own_addresses=own)

        assert result.failure is not None
        assert result.failure.remedy.endswith(f"the record: {record}")


class TestWarnings:
    def test_old_records_in_caches_are_a_warning(self) -> None:
        """
        The warning has the time for which caches store the old records.
        """
        result = result_for(GOOD, resolvers=(ServerView("8.8.8.8", (OTHER,), ttl=3600),))

        assert ["dns.propagation"] == codes(result)
        assert "3600 s" in result.warnings[0].message

    def test_a_name_server_with_old_records_is_a_warning(self) -> None:
        """
        A name server with old records is a warning.
        """
        result = result_for(GOOD, ServerView("ns2.shop.org", (OTHER,)))

        assert ["dns.propagation"] == codes(result)
        assert "ns2.shop.org" in result.warnings[0].message

    def test_other_records_in_this_network_are_a_warning(self) -> None:
        """
        Other records in this network are a warning, because the CA uses public resolvers.
        """
        assert ["dns.split_horizon"] == codes(result_for(GOOD, system=ServerView("here", ("10.0.0.5",))))
        assert [] == codes(result_for(GOOD, system=ServerView("here", (OWN,))))

    def test_a_private_address_beside_a_public_one_is_a_warning(self) -> None:
        """
        A private address beside a public address is a warning, because a CA ignores it.
        """
        result = result_for(ServerView("ns1", (OWN, "10.0.0.1")))

        assert (Outcome.PASS, ["dns.private_ip"]) == (result.outcome, codes(result))


class TestSilentResolvers:
    def test_without_any_response_the_resolver_is_reported(self) -> None:
        """
        The warning names the resolver of the container, not the domain.
        """
        result = result_for(resolvers=(ServerView("8.8.8.8", error=SILENT),))

        assert (Outcome.PASS, ["dns.container_resolver"]) == (result.outcome, codes(result))

    @pytest.mark.parametrize(
        ("servers", "reason"),
        [(("8.8.8.8", "9.9.9.9"), "8.8.8.8, 9.9.9.9 did not answer"), ((), "the lookup failed")],
    )
    def test_the_reason_names_the_resolvers_that_were_queried(
        self, servers: tuple[str, ...], reason: str
    ) -> None:
        """
        The reason names the silent resolvers. After an unexpected error, no resolver is known.
        """
        silent = tuple(ServerView(each, error=SILENT) for each in servers)

        failure = failure_without_answer(DnsRecords(NAME, resolvers=silent))

        assert f"This container cannot resolve {NAME}: {reason}." == failure.message

    def test_the_system_resolver_counts_if_others_are_silent(self) -> None:
        """
        The records of the system resolver count in a network that blocks other resolvers.
        """
        result = result_for(
            resolvers=(ServerView("8.8.8.8", error=SILENT),), system=ServerView("here", (OWN,))
        )

        assert "A 9.9.9.9, no AAAA" == result.evidence


class TestPrivateNetwork:
    def test_private_addresses_pass(self) -> None:
        """
        A private address passes, because a private CA connects to it.
        """
        result = result_for(ServerView("ns1", ("10.0.0.1",)), private=True, resolvers=())

        assert (Outcome.PASS, []) == (result.outcome, codes(result))

    def test_an_unknown_name_is_a_warning(self) -> None:
        """
        An unknown name is a warning, because a private CA may use another DNS.
        """
        result = result_for(private=True, resolvers=(), system=ServerView("here"))

        assert (Outcome.PASS, ["dns.no_record"]) == (result.outcome, codes(result))

    def test_names_of_the_loopback_interface_pass(self) -> None:
        """
        Names of the loopback interface pass, as in the demo.
        """
        records = DnsRecords("shop.localhost", system=ServerView("here", ("127.0.0.1",)))

        assert CheckResult.passed("this machine") == check_resolution(CheckContext("shop.localhost", records))
