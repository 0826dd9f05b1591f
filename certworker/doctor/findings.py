"""
A line of the report: what was checked, the result, and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from certworker.errors import CertworkerError, Severity
from certworker.errors.systemd import for_this_machine
from certworker.preflight.result import CheckResult


class Verdict(Enum):
    """
    The result of a check; the value is its mark on a terminal without symbols.
    """

    WELL = "OK"
    WARN = "WARN"
    FAIL = "FAIL"
    #: The check was impossible or unnecessary; the text of the line is the reason.
    SKIPPED = "-"


@dataclass(frozen=True)
class Finding:
    """
    A line of the report.
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
    A heading of the report, which creates the lines below it.
    """

    title: str

    def ok(self, subject: str, text: str) -> Finding:
        """
        Return a line for a check that passed.
        """
        return Finding(self.title, subject, Verdict.WELL, text)

    def warn(self, subject: str, text: str, remedy: str, code: str = "") -> Finding:
        """
        Return a line for a problem that is not a failure yet.
        """
        return Finding(self.title, subject, Verdict.WARN, text, for_this_machine(remedy), code)

    def fail(self, subject: str, text: str, remedy: str, code: str = "") -> Finding:
        """
        Return a line for a failure.
        """
        return Finding(self.title, subject, Verdict.FAIL, text, for_this_machine(remedy), code)

    def skip(self, subject: str, text: str) -> Finding:
        """
        Return a line for a check that was impossible or unnecessary; *text* is the reason.
        """
        return Finding(self.title, subject, Verdict.SKIPPED, text)

    def failure(self, subject: str, failure: CertworkerError) -> Finding:
        """
        Return the line of *failure*.
        """
        line = self.warn if failure.severity is Severity.WARNING else self.fail
        return line(subject, failure.message, failure.remedy, failure.code)

    def from_check(self, subject: str, result: CheckResult, ok_text: str = "") -> Iterator[Finding]:
        """
        Yield the lines of a preflight check: its failure or its evidence, if any, and its warnings.

        *ok_text* replaces missing evidence.
        """
        evidence = (result.evidence or ok_text).removeprefix(f"{subject} ")
        if result.failure:
            yield self.failure(subject, result.failure)
        elif evidence and not result.warnings:
            yield (self.skip if result.is_skipped else self.ok)(subject, evidence)
        for number, warning in enumerate(result.warnings):
            # A separate line for the passed check would contradict a warning about the same subject.
            first = f"{evidence}; " if evidence and not number and not result.failure else ""
            yield self.warn(subject, first + warning.message, warning.remedy, warning.code)


MACHINE = Section("Machine")
