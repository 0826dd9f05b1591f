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

from certworker.checks.records import Records
from certworker.errors import CertworkerError


class Answer(Enum):
    """
    Whether the CA would say yes, as far as one check can tell.
    """

    YES = "yes"
    LIKELY_NO = "likely no"
    NO = "no"


@dataclass(frozen=True)
class Verdict:
    """
    What a check found.
    """

    answer: Answer
    #: What was seen, in a few words: "A 203.0.113.7, no AAAA". Empty for a no.
    seen: str = ""
    #: Why not; None for a yes. A copy that was never raised: verdicts are cached, and what was raised holds
    #: the frames of its check.
    failure: CertworkerError | None = None
    #: What does not keep the CA from saying yes, and yet is worth telling.
    remarks: tuple[CertworkerError, ...] = ()
    #: A nonce of our own came back, as the CA's will: what others only suspect does not count against that.
    is_proof: bool = False

    @classmethod
    def yes(cls, seen: str, *remarks: CertworkerError) -> Verdict:
        """
        Nothing speaks against it.
        """
        return cls(Answer.YES, seen, remarks=remarks)

    @classmethod
    def proof(cls, seen: str, *remarks: CertworkerError) -> Verdict:
        """
        The CA's own question was asked, and answered well.
        """
        return cls(Answer.YES, seen, remarks=remarks, is_proof=True)

    @classmethod
    def likely_no(cls, failure: CertworkerError, *remarks: CertworkerError) -> Verdict:
        """
        Seen from here the CA would say no, but it may see something else.
        """
        return cls(Answer.LIKELY_NO, "", copy(failure.found_by_us()), remarks)

    @classmethod
    def no(cls, failure: CertworkerError, *remarks: CertworkerError) -> Verdict:
        """
        The CA would say no.
        """
        return cls(Answer.NO, "", copy(failure.found_by_us()), remarks)


@dataclass(frozen=True)
class Question:
    """
    What a check is asked: would the CA say yes to this name?
    """

    name: str
    #: What DNS says of it.
    records: Records
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
    ask: Callable[[Question], Verdict]
    #: It is not waited for any longer.
    deadline_seconds: float
    #: Whether what it asks may start later than the worker. A failure is checked again at first.
    settles: bool = False


@dataclass(frozen=True)
class Inspection:
    """
    One line of the list of what this machine is asked.
    """

    name: str
    #: What it trusts, and so what its answer is worth; for people.
    relies_on: str
    ask: Callable[[], Verdict]
    #: It is not waited for any longer.
    deadline_seconds: float
