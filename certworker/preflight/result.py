"""
The input and the result of a check.

A check has one of three outcomes. FAIL means that the order would certainly fail, so certworker does not
order. WARN means that the CA would probably refuse, so certworker orders at most once a day. A proof that the
CA can fetch the response outweighs a WARN. In a renewal, a FAIL of a name counts as a WARN. PASS also
includes checks that could not run: for example, a router without NAT loopback must not prevent a certificate.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from enum import Enum

from certworker.challenges.challenge import DNS01, HTTP01
from certworker.dns.records import DnsRecords
from certworker.errors import CertworkerError


class Outcome(Enum):
    """
    Whether the order would succeed, according to a check.
    """

    PASS = "yes"  # noqa: S105 (the outcome of a check)
    WARN = "likely no"
    FAIL = "no"


@dataclass(frozen=True)
class CheckResult:
    """
    The result of a check.
    """

    outcome: Outcome
    #: Describes a success or a skipped check, for example "A 203.0.113.7, no AAAA"; may be empty.
    evidence: str = ""
    #: The failure, or None after a success. It is a copy that was never raised, because results are cached,
    #: and a raised failure holds references to the frames of its check.
    failure: CertworkerError | None = None
    #: Findings that are not a reason for the CA to refuse.
    warnings: tuple[CertworkerError, ...] = ()
    #: Whether the check fetched the test response as the CA does. This outweighs probable refusals.
    is_proof: bool = False
    #: Whether the check could not run.
    is_skipped: bool = False

    @classmethod
    def passed(cls, evidence: str, *warnings: CertworkerError) -> CheckResult:
        """
        Return a success.
        """
        return cls(Outcome.PASS, evidence, warnings=warnings)

    @classmethod
    def skipped(cls, evidence: str, *warnings: CertworkerError) -> CheckResult:
        """
        Return the result of a check that could not run, which counts as a success.
        """
        return cls(Outcome.PASS, evidence, warnings=warnings, is_skipped=True)

    @classmethod
    def proven(cls, evidence: str, *warnings: CertworkerError) -> CheckResult:
        """
        Return a success that proves that the CA can fetch the response.
        """
        return cls(Outcome.PASS, evidence, warnings=warnings, is_proof=True)

    @classmethod
    def warn(cls, failure: CertworkerError, *warnings: CertworkerError) -> CheckResult:
        """
        Return a probable refusal.
        """
        return cls(Outcome.WARN, "", copy(failure.from_preflight()), warnings)

    @classmethod
    def fail(cls, failure: CertworkerError, *warnings: CertworkerError) -> CheckResult:
        """
        Return a certain failure of the order.
        """
        return cls(Outcome.FAIL, "", copy(failure.from_preflight()), warnings)


@dataclass(frozen=True)
class CheckContext:
    """
    The input of a check.
    """

    name: str
    #: The DNS records of the name.
    records: DnsRecords
    #: The challenge type for the name: `http-01` or `dns-01`.
    challenge_type: str = HTTP01


@dataclass(frozen=True)
class Check:
    """
    A check of a name.
    """

    name: str
    run: Callable[[CheckContext], CheckResult]
    #: How long a job waits for the check.
    deadline_seconds: float
    #: Whether the checked service may start after the worker. In the first seconds of the worker, a failed
    #: check is repeated.
    settles: bool = False
    #: The challenge types that require this check.
    challenge_types: tuple[str, ...] = (HTTP01, DNS01)
    #: Returns whether the check never waits for the network, so that it needs no thread.
    is_immediate: Callable[[CheckContext], bool] = lambda _context: False


@dataclass(frozen=True)
class MachineCheck:
    """
    A check of this machine.
    """

    name: str
    run: Callable[[], CheckResult]
    #: How long a job waits for the check.
    deadline_seconds: float
