"""
Tests of the findings of the report.
"""

from __future__ import annotations

from certworker.doctor.findings import Finding, Section, Verdict
from certworker.errors.http import BehindCloudflare
from certworker.errors.redis import RedisUnreachable
from certworker.preflight.result import CheckResult

SECTION = Section("Machine")
DOWN = RedisUnreachable(address="redis:6379", reason="refused")
CLOUDFLARE = BehindCloudflare(name="shop.example.org")


class TestSection:
    def test_a_failure_has_its_message_and_its_code(self) -> None:
        """
        A failure has the message, the remedy and the code of the log.
        """
        expected = Finding("Machine", "redis", Verdict.FAIL, DOWN.message, DOWN.remedy, "redis.unreachable")

        assert expected == SECTION.failure("redis", DOWN)

    def test_a_warning_remains_a_warning(self) -> None:
        """
        A failure class that is a warning has the verdict WARN, which determines the exit code.
        """
        assert Verdict.WARN is SECTION.failure("port 80", CLOUDFLARE).verdict

    def test_a_check_is_shown_with_its_warnings(self) -> None:
        """
        Each warning of a passed check is a finding, without a separate finding of success.
        """
        findings = list(
            SECTION.from_check(
                "port 80", CheckResult.passed("port 80 answers in 3 ms", CLOUDFLARE, CLOUDFLARE)
            )
        )

        assert [
            (Verdict.WARN, f"answers in 3 ms; {CLOUDFLARE.message}"),
            (Verdict.WARN, CLOUDFLARE.message),
        ] == [(finding.verdict, finding.text) for finding in findings]

    def test_an_impossible_check_is_skipped(self) -> None:
        """
        A skipped check has the verdict SKIPPED with its reason.
        """
        (finding,) = SECTION.from_check("port 80", CheckResult.skipped("port 80 not asked: no address"))

        assert (Verdict.SKIPPED, "not asked: no address") == (finding.verdict, finding.text)

    def test_a_check_without_a_text_has_no_finding(self) -> None:
        """
        A check that does not apply has no finding, and a failed one without a text has one.
        """
        assert [] == list(SECTION.from_check("target", CheckResult.passed("")))
        assert [Verdict.FAIL] == [
            finding.verdict for finding in SECTION.from_check("port 80", CheckResult.warn(DOWN))
        ]
