"""
What a check is asked, and what it may answer.

There are three answers. A certain no costs the CA nothing, for it is not asked. A likely no is a warning:
what we see from here need not be what the CA sees, so that it is asked all the same, once a day. A check
that cannot be made says yes, with a remark: nobody is to wait for ever because of a router.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from enum import Enum

from certworker.errors import CertworkerError
from certworker.preflight.dns.records import DnsRecords


class Outcome(Enum):
    """
    Whether the CA would say yes, as far as one check can tell.
    """

    PASS = "yes"  # noqa: S105 (the outcome of a check)
    WARN = "likely no"
    FAIL = "no"


@dataclass(frozen=True)
class CheckResult:
    """
    What a check found.
    """

    outcome: Outcome
    #: What was seen, in a few words: "A 203.0.113.7, no AAAA". Empty for a no.
    evidence: str = ""
    #: Why not; None for a yes. A copy that was never raised: verdicts are cached, and what was raised holds
    #: the frames of its check.
    failure: CertworkerError | None = None
    #: What does not keep the CA from saying yes, and yet is worth telling.
    warnings: tuple[CertworkerError, ...] = ()
    #: A nonce of our own came back, as the CA's will: what others only suspect does not count against that.
    is_proof: bool = False
    #: Nothing was learnt: the check could not be made.
    is_skipped: bool = False

    @classmethod
    def passed(cls, seen: str, *remarks: CertworkerError) -> CheckResult:
        """
        Nothing speaks against it.
        """
        return cls(Outcome.PASS, seen, warnings=remarks)

    @classmethod
    def skipped(cls, seen: str, *remarks: CertworkerError) -> CheckResult:
        """
        The check could not be made, which speaks against nothing.
        """
        return cls(Outcome.PASS, seen, warnings=remarks, is_skipped=True)

    @classmethod
    def proven(cls, seen: str, *remarks: CertworkerError) -> CheckResult:
        """
        The CA's own question was asked, and answered well.
        """
        return cls(Outcome.PASS, seen, warnings=remarks, is_proof=True)

    @classmethod
    def warn(cls, failure: CertworkerError, *remarks: CertworkerError) -> CheckResult:
        """
        Seen from here the CA would say no, but it may see something else.
        """
        return cls(Outcome.WARN, "", copy(failure.from_preflight()), remarks)

    @classmethod
    def fail(cls, failure: CertworkerError, *remarks: CertworkerError) -> CheckResult:
        """
        The CA would say no.
        """
        return cls(Outcome.FAIL, "", copy(failure.from_preflight()), remarks)


@dataclass(frozen=True)
class CheckContext:
    """
    What a check is asked: would the CA say yes to this name?
    """

    name: str
    #: What DNS says of it.
    records: DnsRecords
    #: Its certificate is renewed: what the CA once accepted, it will probably accept again.
    renewing: bool = False


@dataclass(frozen=True)
class Check:
    """
    One line of the list.
    """

    name: str
    #: What it trusts, and so what its answer is worth; for people.
    relies_on: str
    run: Callable[[CheckContext], CheckResult]
    #: It is not waited for any longer.
    deadline_seconds: float
    #: Whether what it asks may start later than the worker. A failure is checked again at first.
    settles: bool = False


@dataclass(frozen=True)
class MachineCheck:
    """
    One line of the list of what this machine is asked.
    """

    name: str
    #: What it trusts, and so what its answer is worth; for people.
    relies_on: str
    run: Callable[[], CheckResult]
    #: It is not waited for any longer.
    deadline_seconds: float
