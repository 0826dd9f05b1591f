"""
The base of all failures: code, message, remedy, retry policy and severity.
"""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Self

from certworker.errors.systemd import for_this_machine

#: The modules with the failure classes.
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
    "imports",
    "replication",
)

#: The maximum number of characters of a value in a message. A CA or a job may send longer values.
MAX_TEXT = 500
#: The maximum number of characters of a link, which is useful only as a whole. The link of Let's Encrypt
#: that ends a pause contains a signed list of names.
MAX_URL = 4_000
#: The maximum number of characters of a remedy inside another failure. The longest remedy has such a link
#: and two values.
LONGEST_REMEDY = MAX_URL + 800
#: The maximum number of characters of a message and its remedy together.
LONGEST_SENTENCE = 10_000

_LONGEST = {"url": MAX_URL, "remedy": LONGEST_REMEDY}

#: The first words of the commands in remedies.
PROGRAMS = "apt-get|certworker|curl|date|dig|dmesg|docker|getent|ls|mv|openssl|pip|redis-cli|timedatectl"
COMMAND = re.compile(rf"(?:(?<=: )(?:{PROGRAMS})|(?<=; )(?:docker|openssl)) [^;]*?(?=; |\. [A-Z]|$)")
#: A field of a template before a period, or before a closing parenthesis and a period.
_BEFORE_A_PERIOD = re.compile(r"\{(\w+)\}\)?\.(?=\s|$)")


class Retry(Enum):
    """
    When certworker retries after a failure. :mod:`certworker.renewal.policy` defines the pauses of each kind.

    certworker never retries an invalid request. After any other failure of a request, it schedules the next
    attempt.
    """

    #: The request itself is invalid: its payload, a name, or an imported certificate. Or a tenant requests a
    #: name that is in service for another owner.
    NEVER = "never"
    #: The operator must change something: a setting, a file, or something at the CA.
    CONFIG = "config"
    #: A check by certworker found the cause. The failure does not count against the limits of the CA.
    PREFLIGHT = "preflight"
    #: The CA refused, usually after a validation, and may count the failure. Unexpected errors have the same
    #: pauses.
    CA = "ca"
    #: The failure ends at a certain time, which it contains if the time is known.
    UNTIL = "until"
    #: The fault usually disappears without a change.
    SOON = "soon"


class Severity(Enum):
    """
    How severe a failure is.
    """

    WARNING = "warning"
    ERROR = "error"
    #: The failure affects the whole worker, not one name.
    FATAL = "fatal"


def printable(text: object, longest: int = MAX_TEXT) -> str:
    """
    Return *text* on one line, without control characters, at most *longest* characters long.

    Every text from a job or a CA passes through this function before it reaches a log or a terminal.
    """
    start = str(text)[: longest + 1]
    shown = start if start.isprintable() else "".join(map(_visible, start))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


class CertworkerError(Exception):
    """
    A failure that the operator can act on.

    A subclass sets or inherits `code`, `retry`, `severity`, `message_template` and `remedy_template`. The
    caller passes the values of the templates as keywords, and this class makes them printable.

    Attributes:
        message: What happened, in one sentence.
        docker_remedy: What to do, in the imperative, usually with a command or a value; or that no action is
            needed. The commands use Docker: Redis contains the remedy in this form.
        until: When the next attempt is allowed, for :attr:`Retry.UNTIL` and :attr:`Retry.SOON`; None if
            unknown.
        problem: The problem document of the CA (RFC 7807: type, detail, status), if there is one.
    """

    code: ClassVar[str]
    message_template: ClassVar[str]
    remedy_template: ClassVar[str]
    #: Each class sets or inherits this attribute. An instance may override it.
    retry: Retry
    severity: ClassVar[Severity] = Severity.ERROR
    #: Whether another CA may issue: the cause is an outage, a limit or a policy of this CA.
    other_ca_may_issue: ClassVar[bool] = False

    def __init__(
        self, *, until: datetime | None = None, problem: dict[str, Any] | None = None, **values: object
    ) -> None:
        shown = {name: printable(value, _LONGEST.get(name, MAX_TEXT)) for name, value in values.items()}
        # A reason may be a sentence with its own period.
        ended = _BEFORE_A_PERIOD.findall(self.message_template)
        unended = {name: shown[name].removesuffix(".") for name in ended}
        self.message = _complete(self.message_template.format(**(shown | unended)))
        self.docker_remedy = _with_commands(self.remedy_template, shown)
        self.until = until
        self.problem = problem
        super().__init__(self.message)

    @property
    def remedy(self) -> str:
        """
        Return the remedy with the commands of this machine.
        """
        return for_this_machine(self.docker_remedy)

    def from_preflight(self) -> Self:
        """
        Mark this failure as found by a preflight check, and return it.

        Such a failure does not count against the limits of the CA.
        """
        if self.retry is Retry.CA:
            self.retry = Retry.PREFLIGHT
        return self

    def add_finding(self, findings: Sequence[CertworkerError]) -> None:
        """
        Add the preflight finding with the same code, or else the first one, to this refusal by the CA.

        A preflight check often knows the record or the address that the CA does not mention.
        """
        same = (finding for finding in findings if finding.code == self.code)
        finding = next(same, findings[0] if findings else None)
        if finding is None:
            return
        self.message = f"{self.message} Preflight found [{finding.code}]: {finding.message}"
        own = "" if finding.code == self.code else f"{self.docker_remedy} · "
        self.docker_remedy = own + finding.docker_remedy

    def __reduce__(self) -> tuple[Any, ...]:
        # Python copies and pickles an exception by its positional arguments, but this class takes keywords.
        return Exception.__new__, (type(self), self.message), self.__dict__

    def __str__(self) -> str:
        return f"[{self.code}] {self.message} {self.remedy}"

    def as_json(self) -> dict[str, Any]:
        """
        Return the fields of the failure for a log line, the result of a job or the state in Redis.

        The commands of the remedy use Docker. The log shows those of its machine.
        """
        fields: dict[str, Any] = {"code": self.code, "message": self.message, "remedy": self.docker_remedy}
        if self.problem:
            fields["problem"] = self.problem
        return fields


def _with_commands(template: str, values: Mapping[str, str]) -> str:
    """
    Return *template* with *values*. In a command, quote each value that a shell would change.

    For example, a shell may replace `*.example.org` with the names of files.
    """
    quoted = {name: shlex.quote(value) for name, value in values.items()}
    parts: list[str] = []
    end = 0
    for command in COMMAND.finditer(template):
        parts += [template[end : command.start()].format(**values), command[0].format(**quoted)]
        end = command.end()
    return "".join([*parts, template[end:].format(**values)])


def _complete(text: str) -> str:
    """
    Return *text* with final punctuation, because the remedy follows it.
    """
    # A period after a link would become part of the link.
    words = text.split()
    complete = text.endswith((".", "!", "?", "…")) or (words and "://" in words[-1])
    return text if complete else f"{text}."


class ValidationFailure(CertworkerError):
    """
    The CA cannot validate the name. Either a check by certworker or the CA finds the failure.
    """

    retry = Retry.CA


class PreflightFailure(ValidationFailure):
    """
    Only a preflight check recognizes this cause, before certworker places an order.
    """

    retry = Retry.PREFLIGHT


class Interrupted(Exception):
    """
    An interruption of the current work, such as a time limit. Only the owner of the work handles it.

    Attributes:
        failure: The reason for the interruption.
    """

    failure: CertworkerError


class NotRecorded(Exception):
    """
    The outcome of a job, or the time of the next attempt, could not be recorded: the job has to run again.
    """


def catalog() -> list[type[CertworkerError]]:
    """
    Return all failure classes with a code, sorted by code.
    """
    for module in MODULES:
        importlib.import_module(f"certworker.errors.{module}")
    return sorted(
        (cls for cls in _subclasses(CertworkerError) if "code" in vars(cls)), key=lambda cls: cls.code
    )


def variants(failure: type[CertworkerError]) -> list[type[CertworkerError]]:
    """
    Return *failure* and its subclasses with the same code, which may have another message, remedy or retry.
    """
    return [failure, *(cls for cls in _subclasses(failure) if cls.code == failure.code)]


def _subclasses(parent: type[CertworkerError]) -> Iterator[type[CertworkerError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)
