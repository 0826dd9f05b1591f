"""
What the answers of DNS mean for a CA.
"""

from __future__ import annotations

import pytest

from certworker.checks.dns import SILENT
from certworker.checks.records import Records, View
from certworker.checks.resolution import check_resolution
from certworker.checks.verdict import Answer, Question, Verdict
from certworker.errors import Retry

NAME = "www.shop.org"
OURS, OTHER, IPV6 = "9.9.9.9", "1.1.1.1", "2620:fe::fe"
GOOD = View("ns1.shop.org", (OURS,))


def judged(*authoritative: View, private: bool = False, **more: object) -> Verdict:
    """
    The verdict on a name of which that is known.
    """
    known = {"resolvers": (View("8.8.8.8", (OURS,)),), "registered": "shop.org", **more}
    records = Records(NAME, authoritative=authoritative, **known)  # type: ignore[arg-type]
    return check_resolution(Question(NAME, records), ours=[OURS], private=private)


def codes(verdict: Verdict) -> list[str]:
    """
    What the verdict tells beside its answer.
    """
    return [remark.code for remark in verdict.remarks]


class TestYes:
    @pytest.mark.parametrize(
        ("view", "seen"),
        [
            (GOOD, "A 9.9.9.9, no AAAA"),
            (View("ns1", (IPV6,)), "no A, AAAA 2620:fe::fe"),
            (View("ns1", (IPV6, OTHER, OURS)), "A 1.1.1.1 and 9.9.9.9, AAAA 2620:fe::fe"),
            (View("ns1", (OURS,), aliases=("edge.net", "eu.net")), "CNAME edge.net, A 9.9.9.9, no AAAA"),
        ],
    )
    def test_what_was_seen_is_told(self, view: View, seen: str) -> None:
        """
        It stands in the log of each job that went well, for the day on which one does not.
        """
        resolver = View("8.8.8.8", view.addresses)

        assert (Answer.YES, seen, []) == (
            (verdict := judged(view, resolvers=(resolver,))).answer,
            verdict.seen,
            codes(verdict),
        )

    def test_addresses_in_turn_are_no_disagreement(self) -> None:
        """
        A load balancer gives each resolver some of its addresses.
        """
        assert [] == codes(judged(View("ns1", (OURS, OTHER)), View("ns2", (OTHER,))))


class TestNo:
    @pytest.mark.parametrize(
        ("view", "more", "code"),
        [
            (View("ns1"), {}, "dns.no_record"),
            (View("ns1", exists=False), {}, "dns.no_record"),
            (View("ns1", exists=False), {"registered_exists": False}, "name.not_registered"),
            (View("ns1", ("10.0.0.1", "fd00::1")), {}, "dns.private_ip"),
            (View("ns1", ("100.64.0.1",)), {}, "dns.private_ip"),
            (GOOD, {"bogus": True, "resolvers": (View("8.8.8.8", trouble="SERVFAIL"),)}, "dns.dnssec"),
            (
                View("ns1", trouble="SERVFAIL"),
                {"resolvers": (View("8.8.8.8", trouble="SERVFAIL"),)},
                "dns.servfail",
            ),
            (
                View("ns1", trouble=SILENT),
                {"resolvers": (View("8.8.8.8", trouble="SERVFAIL"),)},
                "dns.timeout",
            ),
        ],
    )
    def test_each_has_its_code(self, view: View, more: dict[str, object], code: str) -> None:
        """
        A CA would say no to all of them, and count it.
        """
        verdict = judged(view, **more)  # type: ignore[arg-type]

        assert Answer.NO is verdict.answer
        assert verdict.failure is not None
        assert (code, Retry.PREFLIGHT) == (verdict.failure.code, verdict.failure.retry)

    def test_the_remedy_is_the_record_to_create(self) -> None:
        """
        Whoever reads it goes to a form with exactly these fields.
        """
        verdict = judged(View("ns1"))

        assert verdict.failure is not None
        assert "Create the record: www.shop.org. A 9.9.9.9" == verdict.failure.remedy


class TestRemarks:
    def test_a_change_that_is_under_way(self) -> None:
        """
        Nothing to do but to wait, and for how long is what people ask.
        """
        verdict = judged(GOOD, resolvers=(View("8.8.8.8", (OTHER,), ttl=3600),))

        assert ["dns.propagation"] == codes(verdict)
        assert "3600 s" in verdict.remarks[0].message

    def test_servers_that_do_not_agree(self) -> None:
        """
        One of them did not get the change.
        """
        verdict = judged(GOOD, View("ns2.shop.org", (OTHER,)))

        assert ["dns.propagation"] == codes(verdict)
        assert "ns2.shop.org" in verdict.remarks[0].message

    def test_another_view_inside(self) -> None:
        """
        The CA is outside.
        """
        assert ["dns.split_horizon"] == codes(judged(GOOD, system=View("here", ("10.0.0.5",))))
        assert [] == codes(judged(GOOD, system=View("here", (OURS,))))

    def test_a_private_address_beside_a_public_one(self) -> None:
        """
        The CA leaves it out.
        """
        verdict = judged(View("ns1", (OURS, "10.0.0.1")))

        assert (Answer.YES, ["dns.private_ip"]) == (verdict.answer, codes(verdict))


class TestWhatCannotBeKnown:
    def test_where_nobody_answers_us_nothing_is_said_of_the_domain(self) -> None:
        """
        A container without DNS is not the fault of whoever runs the zone.
        """
        verdict = judged(resolvers=(View("8.8.8.8", trouble=SILENT),))

        assert (Answer.YES, ["dns.container_resolver"]) == (verdict.answer, codes(verdict))

    def test_where_the_resolver_is_silent_this_machines_own_counts(self) -> None:
        """
        Many networks allow no other.
        """
        verdict = judged(resolvers=(View("8.8.8.8", trouble=SILENT),), system=View("here", (OURS,)))

        assert "A 9.9.9.9, no AAAA" == verdict.seen


class TestPrivateNetwork:
    def test_private_addresses_are_as_good_as_others(self) -> None:
        """
        A CA of one's own connects to them.
        """
        verdict = judged(View("ns1", ("10.0.0.1",)), private=True, resolvers=())

        assert (Answer.YES, []) == (verdict.answer, codes(verdict))

    def test_a_name_that_we_do_not_know_may_be_known_to_the_ca(self) -> None:
        """
        Its DNS need not be ours.
        """
        verdict = judged(private=True, resolvers=(), system=View("here"))

        assert (Answer.YES, ["dns.no_record"]) == (verdict.answer, codes(verdict))

    def test_this_machine_is_no_private_address(self) -> None:
        """
        The demo, and every laptop.
        """
        records = Records("shop.localhost", system=View("here", ("127.0.0.1",)))

        assert Verdict.yes("this machine") == check_resolution(Question("shop.localhost", records))
