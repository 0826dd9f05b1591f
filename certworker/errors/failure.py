"""
The base of all failures: code, message, remedy, retry policy and severity.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Self

#: The modules of the catalogue.
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
    "dns01",
    "http",
    "redis",
    "fs",
    "worker",
    "proxy",
    "reload",
)

#: Characters of a value in a message. Longer values come from a CA or a job.
MAX_TEXT = 500
#: Characters of a link. It is useful only as a whole, and one that ends a pause has a signed list of names.
MAX_URL = 4_000
#: Characters of a remedy as a value of another failure. The longest one has such a link and two values.
LONGEST_REMEDY = MAX_URL + 800
#: Characters of message and remedy together, with values of these lengths.
LONGEST_SENTENCE = 10_000

_LONGEST = {"url": MAX_URL, "remedy": LONGEST_REMEDY}


class Retry(Enum):
    """
    When certworker retries after a failure; :mod:`certworker.renewal.policy` has the pauses of each kind.

    Only an invalid request is never retried. After every answer of a CA, the next attempt is planned.
    """

    #: The request itself is invalid: its payload, or the syntax of a name. No attempt begins.
    NEVER = "never"
    #: A person must change something: a setting, a file, or something at the CA.
    CONFIG = "config"
    #: A check of certworker found the cause. It does not count against the limits of the CA.
    PREFLIGHT = "preflight"
    #: The CA refused after a validation, and counts failed validations.
    CA = "ca"
    #: The failure has the time of the next attempt.
    UNTIL = "until"
    #: The fault usually ends without any change.
    SOON = "soon"


class Severity(Enum):
    """
    How severe a failure is.
    """

    WARNING = "warning"
    ERROR = "error"
    #: The whole worker is affected, not one name.
    FATAL = "fatal"


def printable(text: object, longest: int = MAX_TEXT) -> str:
    """
    Return *text* on one line, without control characters, at most *longest* characters long.

    Every text of a job or a CA passes through this function before a person or a terminal sees it.
    """
    begin = str(text)[: longest + 1]
    shown = begin if begin.isprintable() else "".join(map(_visible, begin))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


class CertworkerError(Exception):
    """
    A failure that an operator can act upon.

    A subclass has `code`, `retry`, `severity`, `message_template` and `remedy_template`. The raiser passes
    the values of the templates as keywords, and this class makes them printable.

    Attributes:
        message: What happened, in one sentence.
        remedy: What to change, in the imperative; it ends with the command to run or the value to set.
        until: When the CA allows the next attempt, for :attr:`Retry.UNTIL`.
        problem: The problem document of the CA (RFC 7807: type, detail, status), if there is one.
    """

    code: ClassVar[str]
    message_template: ClassVar[str]
    remedy_template: ClassVar[str]
    #: Each class sets or inherits it. An instance may differ from its class.
    retry: Retry
    severity: ClassVar[Severity] = Severity.ERROR
    #: Whether another CA may issue: the cause is an outage or a policy of this CA.
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
        Return this failure as found by a check: the CA was not asked, so its limits do not count.
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
        # Exceptions are copied and pickled by their positional arguments, but these are keywords.
        return Exception.__new__, (type(self), self.message), self.__dict__

    def __str__(self) -> str:
        return f"[{self.code}] {self.message} {self.remedy}"

    def as_json(self) -> dict[str, Any]:
        """
        Return the failure for a log line, the result of a job or the state in Redis.
        """
        fields: dict[str, Any] = {"code": self.code, "message": self.message, "remedy": self.remedy}
        if self.problem:
            fields["problem"] = self.problem
        return fields


def _complete(text: str) -> str:
    """
    Return *text* with a full stop if it has no final punctuation. A remedy follows it.
    """
    # A full stop after a link would become part of the link.
    words = text.split()
    complete = text.endswith((".", "!", "?", "…")) or (words and "://" in words[-1])
    return text if complete else f"{text}."


class ValidationFailure(CertworkerError):
    """
    The CA cannot validate the name. A check or the CA itself finds the failure.
    """

    retry = Retry.CA


class PreflightFailure(ValidationFailure):
    """
    Only a check of certworker recognizes this cause. The CA is not asked.
    """

    retry = Retry.PREFLIGHT


class Interrupted(Exception):
    """
    Something outside interrupted the work. Only the owner of the work handles this exception.

    Attributes:
        failure: Why the work was interrupted.
    """

    failure: CertworkerError


def catalogue() -> list[type[CertworkerError]]:
    """
    Return all failure classes with a code, sorted by code.
    """
    for module in MODULES:
        importlib.import_module(f"certworker.errors.{module}")
    return sorted(
        (cls for cls in _subclasses(CertworkerError) if "code" in vars(cls)), key=lambda cls: cls.code
    )


def _subclasses(parent: type[CertworkerError]) -> Iterator[type[CertworkerError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)
