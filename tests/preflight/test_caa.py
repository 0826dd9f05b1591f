"""
Tests of the CAA check (RFC 8659, and Boulder's rules).
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.challenges.challenge import DNS01
from certworker.dns.query import SILENT
from certworker.dns.records import Caa, CaaSet, DnsRecords, ServerView
from certworker.errors import Retry
from certworker.preflight.caa import CaaIssuer, Permission, check_caa
from certworker.preflight.result import CheckContext, CheckResult, Outcome

NAME, PARENT = "www.shop.org", "shop.org"
ACCOUNT = "https://ca.example.net/acct/123"
OURS = CaaIssuer("Let's Encrypt", ("letsencrypt.org",), ACCOUNT)
OTHER = CaaIssuer("Other CA", ("other.example",), None)


def issue(*values: str) -> tuple[Caa, ...]:
    """
    Return `issue` records with these *values*.
    """
    return tuple(Caa(0, "issue", value) for value in values)


def result_for(*records: Caa, issuers: tuple[CaaIssuer, ...] = (OURS,), owner: str = NAME) -> CheckResult:
    """
    Return the result for a name with these records.
    """
    return check_caa(
        CheckContext(NAME, DnsRecords(NAME, caa=(CaaSet(NAME, owner, records),))), lambda: issuers
    )


def code(result: CheckResult) -> str:
    """
    Return the code of the failure.
    """
    assert result.failure is not None
    assert Retry.PREFLIGHT is result.failure.retry
    return result.failure.code


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
    def test_a_name_that_the_ca_accepts_passes(self, records: tuple[Caa, ...]) -> None:
        """
        A name that the CA accepts passes.
        """
        assert Outcome.PASS is result_for(*records).outcome

    def test_one_of_several_cas_is_enough(self) -> None:
        """
        One allowed CA is enough, because another CA is used after a refusal.
        """
        assert Outcome.PASS is result_for(*issue("other.example"), issuers=(OURS, OTHER)).outcome

    def test_a_ca_without_identities_cannot_be_compared(self) -> None:
        """
        A private CA seldom publishes its names in CAA records.
        """
        assert (
            Outcome.PASS is result_for(*issue("digicert.com"), issuers=(CaaIssuer("mine", (), None),)).outcome
        )


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
        Each failure has its own code, because each needs another change.
        """
        result = result_for(*records)

        assert (Outcome.FAIL, expected) == (result.outcome, code(result))

    def test_the_remedy_is_the_record_to_add(self) -> None:
        """
        The remedy shows the record with its owner, which may be the parent.
        """
        failure = result_for(*issue("digicert.com"), owner=NAME).failure

        assert failure is not None
        assert 'Add the record: www.shop.org. CAA 0 issue "letsencrypt.org"' == failure.remedy

    def test_the_remedy_has_the_url_of_the_account(self) -> None:
        """
        The operator copies the record with the account of the worker.
        """
        failure = result_for(*issue("letsencrypt.org; accounturi=https://ca.example.net/acct/456")).failure

        assert failure is not None
        assert failure.remedy.endswith(f'{NAME}. CAA 0 issue "letsencrypt.org; accounturi={ACCOUNT}"')

    def test_without_an_account_the_remedy_is_a_record_without_one(self) -> None:
        """
        The first order creates the account; until then no record can have its URL.
        """
        result = result_for(*issue(f"other.example; accounturi={ACCOUNT}"), issuers=(OTHER,))

        assert "caa.account" == code(result)
        assert result.failure is not None
        assert "certworker has none yet" in result.failure.message
        assert result.failure.remedy.endswith(f'{NAME}. CAA 0 issue "other.example"')

    def test_the_owner_of_the_alias_target_is_named(self) -> None:
        """
        The owner of the alias target has to change its records.
        """
        result = result_for(*issue("digicert.com"), owner="edge.far.net")

        assert "caa.via_cname" == code(result)
        assert result.failure is not None
        assert "edge.far.net. CAA 0 issue" in result.failure.remedy

    def test_the_remedy_of_a_failed_query_repeats_it(self) -> None:
        """
        The records of a wildcard are those of its domain and of the domains above.
        """
        context = CheckContext(f"*.{NAME}", DnsRecords(NAME, caa=(CaaSet("org", "org", error="SERVFAIL"),)))
        failure = check_caa(context, lambda: (OURS,)).failure

        assert failure is not None
        assert failure.remedy.endswith("Test: dig CAA org")

    def test_an_invalid_record_allows_no_ca(self) -> None:
        """
        An invalid record allows no CA, and the other records still count.
        """
        result = result_for(*issue("letsencrypt.org; http-01", "letsencrypt.org"))
        alone = result_for(*issue("letsencrypt.org; http-01"))

        assert (Outcome.PASS, ["caa.syntax"]) == (result.outcome, [each.code for each in result.warnings])
        assert "caa.deny_all" == code(alone)


class TestWildcard:
    def result_for(self, *records: Caa, challenge_type: str = DNS01) -> CheckResult:
        """
        Return the result for a wildcard below a name with these records.
        """
        context = CheckContext(
            f"*.{NAME}",
            DnsRecords(NAME, caa=(CaaSet(NAME, NAME, records),)),
            challenge_type=challenge_type,
        )
        return check_caa(context, lambda: (OURS,))

    @pytest.mark.parametrize(
        "records",
        [
            (),
            issue("letsencrypt.org"),
            (*issue(";"), Caa(0, "issuewild", "letsencrypt.org")),
            (*issue("digicert.com"), Caa(0, "IssueWild", "letsencrypt.org; validationmethods=dns-01")),
            issue("letsencrypt.org; validationmethods=dns-01"),
            (Caa(0, "iodef", "mailto:x@shop.org"),),
        ],
        ids=str,
    )
    def test_issuewild_counts_before_issue(self, records: tuple[Caa, ...]) -> None:
        """
        With any issuewild record, the issue records do not count for a wildcard (RFC 8659, section 4.3).
        """
        assert Outcome.PASS is self.result_for(*records).outcome

    @pytest.mark.parametrize(
        ("records", "expected"),
        [
            ((Caa(0, "issuewild", ";"), *issue("letsencrypt.org")), "caa.deny_all"),
            ((Caa(0, "issuewild", "digicert.com"), *issue("letsencrypt.org")), "caa.forbidden"),
            (issue("letsencrypt.org; validationmethods=http-01"), "caa.method"),
            ((Caa(0, "issuewild", "letsencrypt.org; accounturi=https://ca/2"),), "caa.account"),
        ],
        ids=str,
    )
    def test_a_refusal_names_the_record_that_counts(self, records: tuple[Caa, ...], expected: str) -> None:
        """
        The remedy shows a record with the property that counts for the wildcard.
        """
        result = self.result_for(*records)

        assert (Outcome.FAIL, expected) == (result.outcome, code(result))
        assert result.failure is not None
        wild = any(record.tag == "issuewild" for record in records)
        assert f'{NAME}. CAA 0 {"issuewild" if wild else "issue"} "letsencrypt.org' in result.failure.remedy

    def test_the_method_of_the_name_has_to_be_allowed(self) -> None:
        """
        The remedy adds dns-01 for a name that is proved by DNS-01.
        """
        failure = self.result_for(*issue("letsencrypt.org; validationmethods=http-01")).failure

        assert failure is not None
        assert failure.remedy.endswith('"letsencrypt.org; validationmethods=http-01,dns-01"')


class TestTree:
    def result_with_parents(self, *sets: CaaSet) -> CheckResult:
        """
        Return the result for a name and its parents.
        """
        return check_caa(CheckContext(NAME, DnsRecords(NAME, caa=sets)), lambda: (OURS,))

    def test_the_closest_set_counts_alone(self) -> None:
        """
        The records of the name replace those of its parents.
        """
        shut, opened = issue(";"), issue("letsencrypt.org")

        assert (
            Outcome.PASS
            is self.result_with_parents(CaaSet(NAME, NAME, opened), CaaSet(PARENT, PARENT, shut)).outcome
        )
        assert (
            Outcome.FAIL
            is self.result_with_parents(CaaSet(NAME, NAME, shut), CaaSet(PARENT, PARENT, opened)).outcome
        )
        assert (
            Outcome.FAIL is self.result_with_parents(CaaSet(NAME, NAME), CaaSet(PARENT, PARENT, shut)).outcome
        )

    def test_a_failed_question_is_a_refusal(self) -> None:
        """
        A CA must refuse if a lookup fails, unless a closer set was found.
        """
        failed = CaaSet(PARENT, PARENT, error="SERVFAIL")

        assert "caa.lookup_failed" == code(self.result_with_parents(CaaSet(NAME, NAME), failed))
        assert (
            Outcome.PASS
            is self.result_with_parents(CaaSet(NAME, NAME, issue("letsencrypt.org")), failed).outcome
        )

    def test_without_any_answer_the_check_passes(self) -> None:
        """
        The CA has its own resolvers, so a firewall on this side does not stop the order.
        """
        silent = ServerView("8.8.8.8", error=SILENT)
        failed = CaaSet(NAME, NAME, error=SILENT)
        context = CheckContext(NAME, DnsRecords(NAME, resolvers=(silent,), caa=(failed,)))

        assert Outcome.PASS is check_caa(context, lambda: (OURS,)).outcome

    def test_the_ca_is_asked_only_if_there_are_records(self) -> None:
        """
        The directory of the CA is read only if there are records.
        """

        def never() -> tuple[CaaIssuer, ...]:
            raise AssertionError

        context = CheckContext(NAME, DnsRecords(NAME, caa=(CaaSet(NAME, NAME),)))
        assert "CAA open" == check_caa(context, never).evidence

    def test_without_lookups_the_check_passes(self) -> None:
        """
        Without CAA lookups, as in a private network, the check passes.
        """
        assert "" == self.result_with_parents().evidence


class TestPermission:
    @given(st.text(max_size=200))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """
        Records are untrusted: any text is parsed or rejected.
        """
        try:
            permission = Permission.parse(text)
        except ValueError:
            return
        assert permission.domain == permission.domain.strip().lower()
