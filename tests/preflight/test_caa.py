"""
Tests of the CAA check (RFC 8659, and the rules of Boulder).
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
OWN = CaaIssuer("Let's Encrypt", ("letsencrypt.org",), ACCOUNT)
OTHER = CaaIssuer("Other CA", ("other.example",), None)


def issue(*values: str) -> tuple[Caa, ...]:
    """
    Return `issue` records with *values*.
    """
    return tuple(Caa(0, "issue", value) for value in values)


def result_for(*records: Caa, issuers: tuple[CaaIssuer, ...] = (OWN,), owner: str = NAME) -> CheckResult:
    """
    Return the result for a name with *records*.
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
        The check passes for records that allow the CA, and without issue records.
        """
        assert Outcome.PASS is result_for(*records).outcome

    def test_one_of_several_cas_is_enough(self) -> None:
        """
        The check passes if one CA is allowed, because another CA is used after a refusal.
        """
        assert Outcome.PASS is result_for(*issue("other.example"), issuers=(OWN, OTHER)).outcome

    def test_a_ca_without_identities_passes(self) -> None:
        """
        The check passes for a CA without identities, such as a private CA.
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
    def test_each_refusal_has_its_code(self, records: tuple[Caa, ...], expected: str) -> None:
        """
        Each refusal has its own code, because each needs another change.
        """
        result = result_for(*records)

        assert (Outcome.FAIL, expected) == (result.outcome, code(result))

    def test_the_remedy_is_the_record_to_add(self) -> None:
        """
        The remedy shows the record with its owner.
        """
        failure = result_for(*issue("digicert.com"), owner=NAME).failure

        assert failure is not None
        assert 'Add the record: www.shop.org. CAA 0 issue "letsencrypt.org"' == failure.remedy

    def test_the_remedy_has_the_url_of_the_account(self) -> None:
        """
        The remedy shows the record with the account of the worker.
        """
        failure = result_for(*issue("letsencrypt.org; accounturi=https://ca.example.net/acct/456")).failure

        assert failure is not None
        assert failure.remedy.endswith(f'{NAME}. CAA 0 issue "letsencrypt.org; accounturi={ACCOUNT}"')

    def test_without_an_account_the_remedy_is_a_record_without_one(self) -> None:
        """
        The remedy has no account URL before the first order, which registers the account.
        """
        result = result_for(*issue(f"other.example; accounturi={ACCOUNT}"), issuers=(OTHER,))

        assert "caa.account" == code(result)
        assert result.failure is not None
        assert "certworker has none yet" in result.failure.message
        assert result.failure.remedy.endswith(f'{NAME}. CAA 0 issue "other.example"')

    def test_the_owner_of_the_alias_target_is_named(self) -> None:
        """
        The remedy names the owner of the alias target, whose records have to change.
        """
        result = result_for(*issue("digicert.com"), owner="edge.far.net")

        assert "caa.via_cname" == code(result)
        assert result.failure is not None
        assert "edge.far.net. CAA 0 issue" in result.failure.remedy

    def test_the_remedy_of_a_failed_query_repeats_it(self) -> None:
        """
        The remedy queries the name of the failed lookup, which can be a parent of the domain.
        """
        context = CheckContext(f"*.{NAME}", DnsRecords(NAME, caa=(CaaSet("org", "org", error="SERVFAIL"),)))
        failure = check_caa(context, lambda: (OWN,)).failure

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
        Return the result for the wildcard below a name with *records*.
        """
        context = CheckContext(
            f"*.{NAME}",
            DnsRecords(NAME, caa=(CaaSet(NAME, NAME, records),)),
            challenge_type=challenge_type,
        )
        return check_caa(context, lambda: (OWN,))

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
    def test_issuewild_replaces_issue(self, records: tuple[Caa, ...]) -> None:
        """
        Any issuewild record replaces the issue records for a wildcard (RFC 8659, section 4.3).
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
        The remedy adds dns-01 for a name that uses DNS-01.
        """
        failure = self.result_for(*issue("letsencrypt.org; validationmethods=http-01")).failure

        assert failure is not None
        assert failure.remedy.endswith('"letsencrypt.org; validationmethods=http-01,dns-01"')


class TestTree:
    def result_with_parents(self, *sets: CaaSet) -> CheckResult:
        """
        Return the result for a name and its parents.
        """
        return check_caa(CheckContext(NAME, DnsRecords(NAME, caa=sets)), lambda: (OWN,))

    def test_the_closest_set_counts_alone(self) -> None:
        """
        The records of the name replace the records of its parents.
        """
        denied, permitted = issue(";"), issue("letsencrypt.org")

        assert (
            Outcome.PASS
            is self.result_with_parents(CaaSet(NAME, NAME, permitted), CaaSet(PARENT, PARENT, denied)).outcome
        )
        assert (
            Outcome.FAIL
            is self.result_with_parents(CaaSet(NAME, NAME, denied), CaaSet(PARENT, PARENT, permitted)).outcome
        )
        assert (
            Outcome.FAIL
            is self.result_with_parents(CaaSet(NAME, NAME), CaaSet(PARENT, PARENT, denied)).outcome
        )

    def test_a_failed_lookup_is_a_failure(self) -> None:
        """
        A failed lookup is a failure, unless a closer set exists. A CA must refuse in this case.
        """
        failed = CaaSet(PARENT, PARENT, error="SERVFAIL")

        assert "caa.lookup_failed" == code(self.result_with_parents(CaaSet(NAME, NAME), failed))
        assert (
            Outcome.PASS
            is self.result_with_parents(CaaSet(NAME, NAME, issue("letsencrypt.org")), failed).outcome
        )

    def test_without_any_response_the_check_passes(self) -> None:
        """
        The check passes if no resolver responds, because the CA has its own resolvers.
        """
        silent = ServerView("8.8.8.8", error=SILENT)
        failed = CaaSet(NAME, NAME, error=SILENT)
        context = CheckContext(NAME, DnsRecords(NAME, resolvers=(silent,), caa=(failed,)))

        assert Outcome.PASS is check_caa(context, lambda: (OWN,)).outcome

    def test_the_directory_is_requested_only_if_there_are_records(self) -> None:
        """
        The check requests the directory of the CA only if the name has CAA records.
        """

        def never() -> tuple[CaaIssuer, ...]:
            raise AssertionError

        context = CheckContext(NAME, DnsRecords(NAME, caa=(CaaSet(NAME, NAME),)))
        assert "CAA open" == check_caa(context, never).evidence

    def test_without_lookups_the_check_passes(self) -> None:
        """
        The check passes without CAA lookups, as in a private network.
        """
        assert "" == self.result_with_parents().evidence


class TestPermission:
    @given(st.text(max_size=200))
    def test_any_text_is_parsed_or_refused(self, text: str) -> None:
        """
        Any text is parsed or raises ValueError, because records are untrusted.
        """
        try:
            permission = Permission.parse(text)
        except ValueError:
            return
        assert permission.domain == permission.domain.strip().lower()
