"""
What the answers of DNS mean for a CA.
"""

from __future__ import annotations

import pytest

from certworker.errors import Retry
from certworker.preflight.dns.query import SILENT
from certworker.preflight.dns.records import DnsRecords, ServerView
from certworker.preflight.resolution import check_resolution
from certworker.preflight.result import CheckContext, CheckResult, Outcome

NAME = "www.shop.org"
OURS, OTHER, IPV6 = "9.9.9.9", "1.1.1.1", "2620:fe::fe"
GOOD = ServerView("ns1.shop.org", (OURS,))


def judged(*authoritative: ServerView, private: bool = False, **more: object) -> CheckResult:
    """
    The verdict on a name of which that is known.
    """
    known = {"resolvers": (ServerView("8.8.8.8", (OURS,)),), "registered": "shop.org", **more}
    records = DnsRecords(NAME, authoritative=authoritative, **known)  # type: ignore[arg-type]
    return check_resolution(CheckContext(NAME, records), ours=[OURS], private=private)


def codes(verdict: CheckResult) -> list[str]:
    """
    What the verdict tells beside its answer.
    """
    return [remark.code for remark in verdict.warnings]


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
    def test_what_was_seen_is_told(self, view: ServerView, seen: str) -> None:
        """
        It stands in the log of each job that went well, for the day on which one does not.
        """
        resolver = ServerView("8.8.8.8", view.addresses)

        assert (Outcome.PASS, seen, []) == (
            (verdict := judged(view, resolvers=(resolver,))).outcome,
            verdict.evidence,
            codes(verdict),
        )

    def test_addresses_in_turn_are_no_disagreement(self) -> None:
        """
        A load balancer gives each resolver some of its addresses.
        """
        assert [] == codes(judged(ServerView("ns1", (OURS, OTHER)), ServerView("ns2", (OTHER,))))


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
    def test_each_has_its_code(self, view: ServerView, more: dict[str, object], code: str) -> None:
        """
        A CA would say no to all of them, and count it.
        """
        verdict = judged(view, **more)  # type: ignore[arg-type]

        assert Outcome.FAIL is verdict.outcome
        assert verdict.failure is not None
        assert (code, Retry.PREFLIGHT) == (verdict.failure.code, verdict.failure.retry)

    def test_the_remedy_is_the_record_to_create(self) -> None:
        """
        Whoever reads it goes to a form with exactly these fields.
        """
        verdict = judged(ServerView("ns1"))

        assert verdict.failure is not None
        assert "Create the record: www.shop.org. A 9.9.9.9" == verdict.failure.remedy


class TestRemarks:
    def test_a_change_that_is_under_way(self) -> None:
        """
        Nothing to do but to wait, and for how long is what people ask.
        """
        verdict = judged(GOOD, resolvers=(ServerView("8.8.8.8", (OTHER,), ttl=3600),))

        assert ["dns.propagation"] == codes(verdict)
        assert "3600 s" in verdict.warnings[0].message

    def test_servers_that_do_not_agree(self) -> None:
        """
        One of them did not get the change.
        """
        verdict = judged(GOOD, ServerView("ns2.shop.org", (OTHER,)))

        assert ["dns.propagation"] == codes(verdict)
        assert "ns2.shop.org" in verdict.warnings[0].message

    def test_another_view_inside(self) -> None:
        """
        The CA is outside.
        """
        assert ["dns.split_horizon"] == codes(judged(GOOD, system=ServerView("here", ("10.0.0.5",))))
        assert [] == codes(judged(GOOD, system=ServerView("here", (OURS,))))

    def test_a_private_address_beside_a_public_one(self) -> None:
        """
        The CA leaves it out.
        """
        verdict = judged(ServerView("ns1", (OURS, "10.0.0.1")))

        assert (Outcome.PASS, ["dns.private_ip"]) == (verdict.outcome, codes(verdict))


class TestWhatCannotBeKnown:
    def test_where_nobody_answers_us_nothing_is_said_of_the_domain(self) -> None:
        """
        A container without DNS is not the fault of whoever runs the zone.
        """
        verdict = judged(resolvers=(ServerView("8.8.8.8", error=SILENT),))

        assert (Outcome.PASS, ["dns.container_resolver"]) == (verdict.outcome, codes(verdict))

    def test_where_the_resolver_is_silent_this_machines_own_counts(self) -> None:
        """
        Many networks allow no other.
        """
        verdict = judged(resolvers=(ServerView("8.8.8.8", error=SILENT),), system=ServerView("here", (OURS,)))

        assert "A 9.9.9.9, no AAAA" == verdict.evidence


class TestPrivateNetwork:
    def test_private_addresses_are_as_good_as_others(self) -> None:
        """
        A CA of one's own connects to them.
        """
        verdict = judged(ServerView("ns1", ("10.0.0.1",)), private=True, resolvers=())

        assert (Outcome.PASS, []) == (verdict.outcome, codes(verdict))

    def test_a_name_that_we_do_not_know_may_be_known_to_the_ca(self) -> None:
        """
        Its DNS need not be ours.
        """
        verdict = judged(private=True, resolvers=(), system=ServerView("here"))

        assert (Outcome.PASS, ["dns.no_record"]) == (verdict.outcome, codes(verdict))

    def test_this_machine_is_no_private_address(self) -> None:
        """
        The demo, and every laptop.
        """
        records = DnsRecords("shop.localhost", system=ServerView("here", ("127.0.0.1",)))

        assert CheckResult.passed("this machine") == check_resolution(CheckContext("shop.localhost", records))
