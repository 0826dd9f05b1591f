"""
Who is allowed by CAA records, after RFC 8659 and the CA that most people use.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.errors import Retry
from certworker.preflight.caa import CaaIssuer, Permission, check_caa
from certworker.preflight.dns.query import SILENT
from certworker.preflight.dns.records import Caa, CaaSet, DnsRecords, ServerView
from certworker.preflight.result import CheckContext, CheckResult, Outcome

NAME, PARENT = "www.shop.org", "shop.org"
ACCOUNT = "https://ca.example.net/acct/123"
OURS = CaaIssuer("Let's Encrypt", ("letsencrypt.org",), ACCOUNT)
OTHER = CaaIssuer("Other CA", ("other.example",), None)


def issue(*values: str) -> tuple[Caa, ...]:
    """
    Records that allow what each of *values* says.
    """
    return tuple(Caa(0, "issue", value) for value in values)


def judged(*records: Caa, issuers: tuple[CaaIssuer, ...] = (OURS,), owner: str = NAME) -> CheckResult:
    """
    The verdict on a name with these records.
    """
    return check_caa(
        CheckContext(NAME, DnsRecords(NAME, caa=(CaaSet(NAME, owner, records),))), lambda: issuers
    )


def code(verdict: CheckResult) -> str:
    """
    Why not.
    """
    assert verdict.failure is not None
    assert Retry.PREFLIGHT is verdict.failure.retry
    return verdict.failure.code


class TestAllowed:
    @pytest.mark.parametrize(
        "records",
        [
            (),
            issue("letsencrypt.org"),
            issue("digicert.com", "letsencrypt.org"),
            issue(" LetsEncrypt.org ; "),
            issue("letsencrypt.org; validationmethods=dns-01,http-01"),
            issue(f"letsencrypt.org; accounturi={ACCOUNT}"),
            issue("letsencrypt.org; accounturi=https://else/1", f"letsencrypt.org; accounturi={ACCOUNT}"),
            issue("letsencrypt.org; unknown=1"),
            issue(";", "letsencrypt.org"),
            (Caa(0, "ISSUE", "letsencrypt.org"),),
            (Caa(0, "iodef", "mailto:x@shop.org"),),
            (Caa(0, "issuewild", ";"),),
            (Caa(128, "issue", "letsencrypt.org"),),
            (Caa(128, "issuewild", ";"),),
            (Caa(0, "contactemail", "x@shop.org"),),
        ],
        ids=str,
    )
    def test_the_ca_would_say_yes(self, records: tuple[Caa, ...]) -> None:
        """
        A false alarm here keeps a site without a certificate.
        """
        assert Outcome.PASS is judged(*records).outcome

    def test_one_of_several_cas_is_enough(self) -> None:
        """
        The next one is asked when the first one refuses.
        """
        assert Outcome.PASS is judged(*issue("other.example"), issuers=(OURS, OTHER)).outcome

    def test_a_ca_without_identities_cannot_be_compared(self) -> None:
        """
        A CA of one's own seldom says what it is called in CAA records.
        """
        assert Outcome.PASS is judged(*issue("digicert.com"), issuers=(CaaIssuer("mine", (), None),)).outcome


class TestRefused:
    @pytest.mark.parametrize(
        ("records", "expected"),
        [
            (issue("digicert.com"), "caa.forbidden"),
            (issue(";"), "caa.deny_all"),
            (issue(""), "caa.deny_all"),
            (issue("letsencrypt.org; validationmethods=dns-01"), "caa.method"),
            (issue("letsencrypt.org; accounturi=https://ca.example.net/acct/456"), "caa.account"),
            ((Caa(128, "tbs", "unknown"), *issue("letsencrypt.org")), "caa.critical_unknown"),
        ],
    )
    def test_each_has_its_code(self, records: tuple[Caa, ...], expected: str) -> None:
        """
        Each wants another change of another record.
        """
        verdict = judged(*records)

        assert (Outcome.FAIL, expected) == (verdict.outcome, code(verdict))

    def test_the_remedy_is_the_record_to_add(self) -> None:
        """
        With the name where it belongs: a record of the parent is changed there.
        """
        failure = judged(*issue("digicert.com"), owner=NAME).failure

        assert failure is not None
        assert 'Add the record: www.shop.org. CAA 0 issue "letsencrypt.org"' == failure.remedy

    def test_an_account_that_is_not_there_yet_cannot_be_meant(self) -> None:
        """
        The first order makes it; until then nobody can have written its URL.
        """
        record = f"other.example; accounturi={ACCOUNT}"

        assert "caa.account" == code(judged(*issue(record), issuers=(OTHER,)))

    def test_the_records_of_an_alias_are_somebody_elses(self) -> None:
        """
        Whoever runs the name behind it has to change them.
        """
        verdict = judged(*issue("digicert.com"), owner="edge.far.net")

        assert "caa.via_cname" == code(verdict)
        assert verdict.failure is not None
        assert "edge.far.net. CAA 0 issue" in verdict.failure.remedy

    def test_a_record_that_cannot_be_read_allows_nobody(self) -> None:
        """
        So do CAs understand it; the others beside it count.
        """
        verdict = judged(*issue("letsencrypt.org; http-01", "letsencrypt.org"))
        alone = judged(*issue("letsencrypt.org; http-01"))

        assert (Outcome.PASS, ["caa.syntax"]) == (verdict.outcome, [each.code for each in verdict.warnings])
        assert "caa.deny_all" == code(alone)


class TestTree:
    def climbed(self, *sets: CaaSet) -> CheckResult:
        """
        The verdict on a name and its parents.
        """
        return check_caa(CheckContext(NAME, DnsRecords(NAME, caa=sets)), lambda: (OURS,))

    def test_the_closest_set_counts_alone(self) -> None:
        """
        A record of the name itself opens what its parent has closed, and the other way round.
        """
        shut, opened = issue(";"), issue("letsencrypt.org")

        assert Outcome.PASS is self.climbed(CaaSet(NAME, NAME, opened), CaaSet(PARENT, PARENT, shut)).outcome
        assert Outcome.FAIL is self.climbed(CaaSet(NAME, NAME, shut), CaaSet(PARENT, PARENT, opened)).outcome
        assert Outcome.FAIL is self.climbed(CaaSet(NAME, NAME), CaaSet(PARENT, PARENT, shut)).outcome

    def test_a_failed_question_is_a_refusal(self) -> None:
        """
        A CA must not issue on "I could not find out"; above a set that was found nobody asks.
        """
        failed = CaaSet(PARENT, PARENT, error="SERVFAIL")

        assert "caa.lookup_failed" == code(self.climbed(CaaSet(NAME, NAME), failed))
        assert Outcome.PASS is self.climbed(CaaSet(NAME, NAME, issue("letsencrypt.org")), failed).outcome

    def test_where_no_resolver_answers_the_domain_is_not_to_blame(self) -> None:
        """
        The CA has resolvers of its own; a firewall of ours must not stop it.
        """
        silent = ServerView("8.8.8.8", error=SILENT)
        failed = CaaSet(NAME, NAME, error=SILENT)
        question = CheckContext(NAME, DnsRecords(NAME, resolvers=(silent,), caa=(failed,)))

        assert Outcome.PASS is check_caa(question, lambda: (OURS,)).outcome

    def test_the_ca_is_asked_only_if_there_are_records(self) -> None:
        """
        Most domains have none, and nobody waits for a directory.
        """

        def never() -> tuple[CaaIssuer, ...]:
            raise AssertionError

        question = CheckContext(NAME, DnsRecords(NAME, caa=(CaaSet(NAME, NAME),)))
        assert "CAA open" == check_caa(question, never).evidence

    def test_where_dns_was_not_asked_nothing_is_said(self) -> None:
        """
        In a private network CAA means nothing.
        """
        assert "" == self.climbed().evidence


class TestPermission:
    @given(st.text(max_size=200))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """
        Strangers write it.
        """
        try:
            permission = Permission.parse(text)
        except ValueError:
            return
        assert permission.domain == permission.domain.strip().lower()
