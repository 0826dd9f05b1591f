"""
One line of the report.
"""

from __future__ import annotations

from certworker.doctor.findings import Finding, Section, Verdict
from certworker.errors.http import BehindCloudflare
from certworker.errors.redis import RedisUnreachable
from certworker.preflight.result import CheckResult as Answered

SECTION = Section("Machine")
DOWN = RedisUnreachable(address="redis:6379", reason="refused")
CLOUDFLARE = BehindCloudflare(name="shop.example.org")


def fail() -> None:
    """
    A question whose answer is no.
    """
    raise DOWN


class TestSection:
    def test_a_failure_has_its_words_and_its_code(self) -> None:
        """
        The same as in the log and in docs/reference/errors.
        """
        expected = Finding("Machine", "redis", Verdict.FAIL, DOWN.message, DOWN.remedy, "redis.unreachable")

        assert expected == SECTION.failure("redis", DOWN)
        assert expected == SECTION.run_check("redis", fail, "well")

    def test_what_is_but_a_warning_stays_one(self) -> None:
        """
        The exit code depends on it.
        """
        assert Verdict.WARN is SECTION.failure("port 80", CLOUDFLARE).verdict

    def test_a_question_without_a_failure_is_well(self) -> None:
        """
        With what there is to say of it.
        """
        assert Finding("Machine", "redis", Verdict.WELL, "answers") == SECTION.run_check(
            "redis", lambda: None, "answers"
        )

    def test_a_check_is_told_with_its_remarks(self) -> None:
        """
        A subject with a warning has no line that it is well.
        """
        findings = list(
            SECTION.from_check("port 80", Answered.passed("port 80 answers in 3 ms", CLOUDFLARE, CLOUDFLARE))
        )

        assert [
            (Verdict.WARN, f"answers in 3 ms; {CLOUDFLARE.message}"),
            (Verdict.WARN, CLOUDFLARE.message),
        ] == [(finding.verdict, finding.text) for finding in findings]

    def test_a_check_that_could_not_be_made_is_skipped(self) -> None:
        """
        Nothing was asked, so nothing is well.
        """
        (finding,) = SECTION.from_check("port 80", Answered.skipped("port 80 not asked: no address"))

        assert (Verdict.SKIPPED, "not asked: no address") == (finding.verdict, finding.text)

    def test_a_check_that_says_nothing_has_no_line(self) -> None:
        """
        It did not apply.
        """
        assert [] == list(SECTION.from_check("target", Answered.passed("")))
        assert [Verdict.FAIL] == [
            finding.verdict for finding in SECTION.from_check("port 80", Answered.warn(DOWN))
        ]
