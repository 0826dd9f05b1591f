"""
Custom domains point to this Appwrite, one way or the other.
"""

from __future__ import annotations

import pytest

from certworker.preflight.dns.records import DnsRecords, ServerView
from certworker.preflight.result import CheckContext, CheckResult, Outcome
from certworker.preflight.target import Target, check_target, points_elsewhere, target_of

NAME, MAIN = "shop.customer.com", "api.example.org"
OURS, OTHER, IPV6 = "9.9.9.9", "1.1.1.1", "2620:fe::fe"


def judged(view: ServerView, target: Target, name: str = NAME) -> CheckResult:
    """
    The verdict on a name seen so, where the main domain has our address.
    """

    def look_up(wanted: str) -> DnsRecords:
        return DnsRecords(wanted, resolvers=(ServerView("8.8.8.8", (OURS,)),))

    question = CheckContext(name, DnsRecords(name, authoritative=(view,)))
    return check_target(question, target, [MAIN], look_up)


class TestTarget:
    @pytest.mark.parametrize(
        ("view", "target"),
        [
            (ServerView("ns", (OTHER,)), Target()),
            (ServerView("ns", (OTHER,), aliases=("edge.net", MAIN)), Target(MAIN)),
            (ServerView("ns", (OURS,)), Target(MAIN)),
            (ServerView("ns", (OURS,)), Target(MAIN, (OURS,))),
            (ServerView("ns", (OURS,)), Target("", (OURS, IPV6))),
            (ServerView("ns", (IPV6,)), Target("", (OURS, IPV6))),
        ],
    )
    def test_an_alias_or_the_same_address_will_do(self, view: ServerView, target: Target) -> None:
        """
        Providers flatten aliases, and the top of a domain cannot have one at all.
        """
        assert CheckResult.passed("") == judged(view, target)

    def test_expected_and_found_are_told(self) -> None:
        """
        "Failed to verify" without either is what people despair of.
        """
        verdict = judged(ServerView("ns", (OTHER,), aliases=("old.host.net",)), Target(MAIN))

        assert Outcome.WARN is verdict.outcome
        assert verdict.failure is not None
        assert "dns.cname_target" == verdict.failure.code
        assert f"expected CNAME {NAME} → {MAIN} or A {OURS}" in verdict.failure.message
        assert f"found CNAME old.host.net, A {OTHER}" in verdict.failure.message
        assert f"Create the record: {NAME}. CNAME {MAIN}." == verdict.failure.remedy

    def test_addresses_alone_make_an_address_record(self) -> None:
        """
        There is no name that it could be an alias of.
        """
        verdict = judged(ServerView("ns", (OTHER,)), Target("", (IPV6,)))

        assert verdict.failure is not None
        assert f"Create the record: {NAME}. AAAA {IPV6}" == verdict.failure.remedy

    @pytest.mark.parametrize("name", [MAIN, "target.example.org"])
    def test_the_main_domain_and_the_target_itself_are_free(self, name: str) -> None:
        """
        They are what the others point to.
        """
        assert CheckResult.passed("") == judged(
            ServerView("ns", (OTHER,)), Target("target.example.org"), name
        )

    def test_where_dns_said_nothing_nothing_is_compared(self) -> None:
        """
        That is told by the check of DNS.
        """
        assert CheckResult.passed("") == judged(ServerView("ns", error="SERVFAIL"), Target(MAIN))


class TestElsewhere:
    def test_an_address_that_is_not_ours(self) -> None:
        """
        Then the record is what to change, whatever answers there.
        """
        wrong = points_elsewhere(NAME, OTHER, [OURS, IPV6])

        assert wrong is not None
        assert "dns.wrong_ip" == wrong.code
        assert f"Change the record: {NAME}. A {OURS}" == wrong.remedy

    @pytest.mark.parametrize(("address", "ours"), [(OURS, [OURS]), (OTHER, []), (IPV6, [OURS])])
    def test_ours_or_unknown(self, address: str, ours: list[str]) -> None:
        """
        Where nobody said which address is ours, none is wrong.
        """
        assert None is points_elsewhere(NAME, address, ours)


class TestSettings:
    def test_the_newer_name_of_the_variable_wins(self) -> None:
        """
        Both stand in many .env files since Appwrite 1.7.
        """
        both = {"_APP_DOMAIN_TARGET": "old.example.org", "_APP_DOMAIN_TARGET_CNAME": "new.example.org"}

        assert Target("new.example.org") == target_of(both, private=False)[0]
        both.pop("_APP_DOMAIN_TARGET_CNAME")
        assert Target("old.example.org") == target_of(both, private=False)[0]

    def test_what_is_wrong_is_told_and_not_demanded(self) -> None:
        """
        A typing error in .env must not keep every custom domain without a certificate.
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
