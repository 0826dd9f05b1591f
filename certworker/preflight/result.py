"""
The input and the result of a check.

There are three outcomes. FAIL is certain, and the CA is not asked. WARN is a probable refusal: the CA may see
other addresses than this machine, so it is asked once a day. PASS also covers checks that could not be made,
because a router must not block a certificate forever.
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
    Whether the CA would accept the name, according to one check.
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
    #: What was found, in a few words: "A 203.0.113.7, no AAAA". Empty after a failure.
    evidence: str = ""
    #: None after a success. The failure is a copy that was never raised: results are cached, and a raised
    #: failure holds the frames of its check.
    failure: CertworkerError | None = None
    #: Findings that do not make the CA refuse.
    warnings: tuple[CertworkerError, ...] = ()
    #: The test response was fetched as the CA fetches its own. Probable refusals do not count against that.
    is_proof: bool = False
    #: The check could not be made.
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
        Return the result of a check that could not be made, which counts as a success.
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
        Return a certain refusal.
        """
        return cls(Outcome.FAIL, "", copy(failure.from_preflight()), warnings)


@dataclass(frozen=True)
class CheckContext:
    """
    The input of a check: would the CA accept this name?
    """

    name: str
    #: The DNS records of the name.
    records: DnsRecords
    #: The certificate is renewed. A CA that accepted the name before will probably accept it again.
    renewing: bool = False
    #: The type of the challenge that proves the name: `http-01` or `dns-01`.
    challenge_type: str = HTTP01


@dataclass(frozen=True)
class Check:
    """
    A check of a name.
    """

    name: str
    run: Callable[[CheckContext], CheckResult]
    #: The job does not wait longer.
    deadline_seconds: float
    #: Whether the checked service may start after the worker. In the first seconds a failure is checked
    #: again.
    settles: bool = False
    #: The types of challenges that depend on what is checked.
    challenge_types: tuple[str, ...] = (HTTP01, DNS01)


@dataclass(frozen=True)
class MachineCheck:
    """
    A check of this machine.
    """

    name: str
    run: Callable[[], CheckResult]
    #: The job does not wait longer.
    deadline_seconds: float
