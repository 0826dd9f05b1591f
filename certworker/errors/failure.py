"""
What every failure has: a code, a sentence, a remedy, a retry policy and a severity.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Self

#: The files of the catalogue.
MODULES = (
    "config",
    "name",
    "payload",
    "acct",
    "acme",
    "ca",
    "rate",
    "caa",
    "dns",
    "http",
    "redis",
    "fs",
    "worker",
    "proxy",
    "reload",
)

#: Longer texts come from a CA or a job, and nobody reads the rest.
MAX_TEXT = 500
#: A link is of use as a whole only; those that end a pause carry a signed list of names.
MAX_URL = 4_000
#: A remedy can be the value of another failure. The longest one has such a link and two texts.
LONGEST_REMEDY = MAX_URL + 800
#: A whole sentence: message and remedy of a failure, with values of these lengths.
LONGEST_SENTENCE = 10_000

_LONGEST = {"url": MAX_URL, "remedy": LONGEST_REMEDY}


class Retry(Enum):
    """
    When a failed request is tried again; :mod:`certworker.renewal.policy` has the pauses of each kind.

    Only the request itself can be wrong for good. Whatever a CA answers, the next attempt is planned.
    """

    #: The request itself is wrong: its payload, or the syntax of a name. No attempt begins.
    NEVER = "never"
    #: A person has to change something: a setting, a file, or something at the CA.
    CONFIG = "config"
    #: A check of certworker found the cause. Such a check uses no limit of the CA.
    PREFLIGHT = "preflight"
    #: The CA refused after a validation. It counts failed validations.
    CA = "ca"
    #: The failure names the moment of the next attempt.
    UNTIL = "until"
    #: The fault passes without any change.
    SOON = "soon"


class Severity(Enum):
    """
    How loudly a failure is told.
    """

    WARNING = "warning"
    ERROR = "error"
    #: The whole worker is affected, not one name.
    FATAL = "fatal"


def printable(text: object, longest: int = MAX_TEXT) -> str:
    """
    *text* on one line, without control characters, at most *longest* characters long.

    Whatever a job or a CA wrote goes through here before a person or a terminal sees it.
    """
    begin = str(text)[: longest + 1]
    shown = begin if begin.isprintable() else "".join(map(_visible, begin))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


class CertworkerError(Exception):
    """
    A failure an operator can act upon.

    A subclass states `code`, `retry`, `severity` and two templates, `says` and `cure`; the values
    that fill them are given by keyword when it is raised, and are made printable here.

    Attributes:
        message: What is wrong, in one sentence.
        remedy: What to change; it ends with the exact thing to type or to set.
        until: When the CA allows the next attempt, for :attr:`Retry.UNTIL`.
        problem: The CA's own words (RFC 7807: type, detail, status), where it said some.
    """

    code: ClassVar[str]
    message_template: ClassVar[str]
    remedy_template: ClassVar[str]
    #: Each class states it, or inherits it from its family. The instance may differ from its class.
    retry: Retry
    severity: ClassVar[Severity] = Severity.ERROR
    #: Whether another CA may well say yes: an outage of this one, or a policy of its own.
    other_ca_may_issue: ClassVar[bool] = False

    def __init__(
        self, *, until: datetime | None = None, problem: dict[str, Any] | None = None, **values: object
    ) -> None:
        shown = {name: printable(value, _LONGEST.get(name, MAX_TEXT)) for name, value in values.items()}
        self.message = _complete(self.message_template.format(**shown))
        self.remedy = self.remedy_template.format(**shown)
        self.until = until
        self.problem = problem
        super().__init__(self.message)

    def from_preflight(self) -> Self:
        """
        The same failure, found by a check of our own: the CA was not asked, and counts nothing.
        """
        if self.retry is Retry.CA:
            self.retry = Retry.PREFLIGHT
        return self

    def add_finding(self, findings: Sequence[CertworkerError]) -> None:
        """
        Add what preflight had found before the CA refused: the finding with this code, else the first one.

        A check of certworker often knows the record or the address that the CA does not name.
        """
        same = (finding for finding in findings if finding.code == self.code)
        finding = next(same, findings[0] if findings else None)
        if finding is None:
            return
        self.message = f"{self.message} Preflight found [{finding.code}]: {finding.message}"
        own = "" if finding.code == self.code else f"{self.remedy} · "
        self.remedy = own + finding.remedy

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is copied and pickled by its arguments, which are given by keyword here.
        return Exception.__new__, (type(self), self.message), self.__dict__

    def __str__(self) -> str:
        return f"[{self.code}] {self.message} {self.remedy}"

    def as_json(self) -> dict[str, Any]:
        """
        The failure for a log line, a job's result or the ledger.
        """
        told: dict[str, Any] = {"code": self.code, "message": self.message, "remedy": self.remedy}
        if self.problem:
            told["problem"] = self.problem
        return told


def _complete(text: str) -> str:
    """
    Return *text* with a full stop where its end, the words of a CA perhaps, has none: a remedy follows it.
    """
    # After a link a full stop would be taken for a part of it.
    words = text.split()
    complete = text.endswith((".", "!", "?", "…")) or (words and "://" in words[-1])
    return text if complete else f"{text}."


class ValidationFailure(CertworkerError):
    """
    The answer was looked for and not found.
    """

    retry = Retry.CA


class PreflightFailure(ValidationFailure):
    """
    Only a check of certworker can recognize this cause. The CA is not asked and counts nothing.
    """

    retry = Retry.PREFLIGHT


class Interrupted(Exception):
    """
    Work was ended from outside, wherever it was, and nobody on its way handles that.

    Attributes:
        failure: Why.
    """

    failure: CertworkerError


def catalogue() -> list[type[CertworkerError]]:
    """
    Return each failure class that has a code, sorted by code. The documentation is generated from it.
    """
    for room in MODULES:
        importlib.import_module(f"certworker.errors.{room}")
    return sorted(
        (kind for kind in _descendants(CertworkerError) if "code" in vars(kind)), key=lambda kind: kind.code
    )


def _descendants(kind: type[CertworkerError]) -> Iterator[type[CertworkerError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)
