"""
Tests of the target of custom domains.
"""

from __future__ import annotations

import pytest

from certworker.dns.records import DnsRecords, ServerView
from certworker.preflight.result import CheckContext, CheckResult, Outcome
from certworker.preflight.target import Target, check_target, points_elsewhere, target_of

NAME, MAIN = "shop.customer.com", "api.example.org"
OWN, OTHER, IPV6 = "9.9.9.9", "1.1.1.1", "2620:fe::fe"


def result_for(view: ServerView, target: Target, name: str = NAME) -> CheckResult:
    """
    Return the result for a name with *view*. The main domain has the address of this server.
    """

    def look_up(wanted: str) -> DnsRecords:
        return DnsRecords(wanted, resolvers=(ServerView("8.8.8.8", (OWN,)),))

    context = CheckContext(name, DnsRecords(name, authoritative=(view,)))
    return check_target(context, target, [MAIN], look_up)


class TestTarget:
    @pytest.mark.parametrize(
        ("view", "target"),
        [
            (ServerView("ns", (OTHER,)), Target()),
            (ServerView("ns", (OTHER,), aliases=("edge.net", MAIN)), Target(MAIN)),
            (ServerView("ns", (OWN,)), Target(MAIN)),
            (ServerView("ns", (OWN,)), Target(MAIN, (OWN,))),
            (ServerView("ns", (OWN,)), Target("", (OWN, IPV6))),
            (ServerView("ns", (IPV6,)), Target("", (OWN, IPV6))),
        ],
    )
    def test_an_alias_or_the_same_address_passes(self, view: ServerView, target: Target) -> None:
        """
        An alias or the same address passes, because DNS providers flatten aliases.
        """
        assert CheckResult.passed("") == result_for(view, target)

    def test_expected_and_found_records_are_reported(self) -> None:
        """
        The failure has the expected and the found records.
        """
        result = result_for(ServerView("ns", (OTHER,), aliases=("old.host.net",)), Target(MAIN))

        assert Outcome.WARN is result.outcome
        assert result.failure is not None
        assert "dns.cname_target" == result.failure.code
        assert f"expected: CNAME {NAME} → {MAIN} or A {OWN}" in result.failure.message
        assert f"found: CNAME old.host.net, A {OTHER}" in result.failure.message
        assert f"Create the record: {NAME}. CNAME {MAIN}." == result.failure.remedy

    def test_without_a_target_name_the_remedy_is_an_address_record(self) -> None:
        """
        The remedy is an address record if the target has no name.
        """
        result = result_for(ServerView("ns", (OTHER,)), Target("", (IPV6,)))

        assert result.failure is not None
        assert f"Create the record: {NAME}. AAAA {IPV6}" == result.failure.remedy

    @pytest.mark.parametrize("name", [MAIN, "target.example.org"])
    def test_the_main_domain_and_the_target_are_not_compared(self, name: str) -> None:
        """
        The main domain and the target pass without a comparison.
        """
        assert CheckResult.passed("") == result_for(
            ServerView("ns", (OTHER,)), Target("target.example.org"), name
        )

    def test_without_a_dns_response_nothing_is_compared(self) -> None:
        """
        The check passes without a response from DNS, which another check reports.
        """
        assert CheckResult.passed("") == result_for(ServerView("ns", error="SERVFAIL"), Target(MAIN))


class TestElsewhere:
    def test_an_address_of_another_server_is_a_failure(self) -> None:
        """
        An address of another server is a failure.
        """
        wrong = points_elsewhere(NAME, OTHER, [OWN, IPV6])

        assert wrong is not None
        assert "dns.wrong_ip" == wrong.code
        assert f"Change the record: {NAME}. A {OWN}" == wrong.remedy

    @pytest.mark.parametrize(("address", "own"), [(OWN, [OWN]), (OTHER, []), (IPV6, [OWN])])
    def test_an_address_of_this_server_is_no_failure(self, address: str, own: list[str]) -> None:
        """
        An address of this server is not a failure. No address is a failure if the addresses of this
        server are unknown.
        """
        assert None is points_elsewhere(NAME, address, own)


class TestSettings:
    def test_the_newer_name_of_the_variable_wins(self) -> None:
        """
        The newer of the two variables of Appwrite counts. Files since Appwrite 1.7 can contain both.
        """
        both = {"_APP_DOMAIN_TARGET": "old.example.org", "_APP_DOMAIN_TARGET_CNAME": "new.example.org"}

        assert Target("new.example.org") == target_of(both, private=False)[0]
        both.pop("_APP_DOMAIN_TARGET_CNAME")
        assert Target("old.example.org") == target_of(both, private=False)[0]

    def test_an_invalid_value_is_reported_and_ignored(self) -> None:
        """
        An invalid value is reported and ignored.
        """
        target, wrong = target_of(
            {
                "_APP_DOMAIN_TARGET_CNAME": "https://api.example.org",
                "_APP_DOMAIN_TARGET_A": IPV6,
                "_APP_DOMAIN_TARGET_AAAA": IPV6,
            },
            private=False,
        )

        assert Target("", (IPV6,)) == target
        assert ["dns.target_invalid"] * 2 == [each.code for each in wrong]
        assert "_APP_DOMAIN_TARGET_A=203.0.113.7" in wrong[1].remedy
