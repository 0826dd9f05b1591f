"""
One line of the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from certworker.errors import CertworkerError, Severity
from certworker.preflight.result import CheckResult as Answered


class Verdict(Enum):
    """
    What a finding means; the value is its mark on a terminal that has no symbols.
    """

    WELL = "OK"
    WARN = "WARN"
    FAIL = "FAIL"
    #: It could not be asked, because of something that has a line of its own.
    SKIPPED = "-"


@dataclass(frozen=True)
class Finding:
    """
    One line of the report.
    """

    section: str
    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""
    code: str = ""


@dataclass(frozen=True)
class Section:
    """
    A heading of the report, and the lines that come under it.
    """

    title: str

    def ok(self, subject: str, text: str) -> Finding:
        """
        Nothing is to be done.
        """
        return Finding(self.title, subject, Verdict.WELL, text)

    def warn(self, subject: str, text: str, remedy: str, code: str = "") -> Finding:
        """
        It works, and may not work for long.
        """
        return Finding(self.title, subject, Verdict.WARN, text, remedy, code)

    def fail(self, subject: str, text: str, remedy: str, code: str = "") -> Finding:
        """
        It does not work.
        """
        return Finding(self.title, subject, Verdict.FAIL, text, remedy, code)

    def skip(self, subject: str, text: str) -> Finding:
        """
        It was not asked, because of *text*.
        """
        return Finding(self.title, subject, Verdict.SKIPPED, text)

    def failure(self, subject: str, failure: CertworkerError) -> Finding:
        """
        The line of *failure*.
        """
        tell = self.warn if failure.severity is Severity.WARNING else self.fail
        return tell(subject, failure.message, failure.remedy, failure.code)

    def run_check(self, subject: str, question: Callable[[], object], well: str) -> Finding:
        """
        *well*, or the failure that *question* raises.
        """
        try:
            question()
        except CertworkerError as failure:
            return self.failure(subject, failure)
        return self.ok(subject, well)

    def from_check(self, subject: str, answered: Answered, well: str = "") -> Iterator[Finding]:
        """
        What one of the checks before an order says: its failure and its remarks, or else that all is well.
        """
        seen = (answered.evidence or well).removeprefix(f"{subject} ")
        if answered.failure:
            yield self.failure(subject, answered.failure)
        elif seen and not answered.warnings:
            yield (self.skip if answered.is_skipped else self.ok)(subject, seen)
        for number, remark in enumerate(answered.warnings):
            # A line that all is well beside a warning about the same subject would contradict it.
            first = f"{seen}; " if seen and not number and not answered.failure else ""
            yield self.warn(subject, first + remark.message, remark.remedy, remark.code)
