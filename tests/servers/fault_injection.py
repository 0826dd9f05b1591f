"""
The faults that the CA of the tests injects.

A test may change each of them while the CA runs, from any thread::

    authority.faults.fail("newOrder", Fault(status=503, retry_after_seconds=2), times=3)
    authority.faults.flaws = frozenset({Flaw.OTHER_NAMES})
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain, repeat
from random import Random
from threading import Lock
from typing import Any

from certworker.devca.messages import Problem


class Flaw(Enum):
    """
    What may be wrong with a certificate.
    """

    CHAIN_MISSING = "the leaf alone"
    CHAIN_OUT_OF_ORDER = "the intermediate before the leaf"
    OTHER_NAMES = "names that were not ordered"
    OTHER_KEY = "a key that is not the one of the signing request"
    EXPIRED = "a validity that is over"


class Aftermath(Enum):
    """
    What a failed validation leaves; each is the way of some CA.
    """

    ORDER_INVALID = "challenge, authorization and order are invalid: Boulder"
    ORDER_PENDING = "challenge and authorization are invalid, the order is pending: acme2certifier"
    AUTHORIZATION_PENDING = "the challenge is invalid, authorization and order are pending: step-ca"
    CHALLENGE_PENDING = "all are pending, and the challenge has an error: step-ca without a connection"
    RESPONSE_REFUSED = "the response to the challenge is refused with the problem of the validation: serles"


@dataclass(frozen=True)
class Fault:
    """
    An answer that has nothing to do with the request.
    """

    status: int = 500
    #: The type of the problem document; None: an HTML page, as load balancers send.
    problem: str | None = "serverInternal"
    retry_after_seconds: int | None = None
    detail: str = "The CA was told to fail."
    #: The request is carried out all the same.
    carried_out: bool = False
    #: The request is carried out, but the connection ends without an answer.
    cut: bool = False


@dataclass
class FaultInjection:
    """
    How the CA misbehaves; as it is made, it does not.
    """

    #: So many of the next signed requests are refused with badNonce …
    bad_nonces: int = 0
    #: … and this share of the others, 0 to 1.
    bad_nonce_share: float = 0.0
    #: How long the answer to a kind of request (``newOrder``, ``challenge``, …) takes, after it was done.
    slow_seconds: dict[str, float] = field(default_factory=dict)
    #: How long the CA waits before it validates.
    validation_seconds: float = 0.0
    #: A finalized order is ``processing`` for so many polls and at least so long.
    processing_polls: int = 0
    processing_seconds: float = 0.0
    #: Retry-After on orders and authorizations that are not done.
    poll_after_seconds: int | None = None
    #: The result of every validation, whatever the domain answers.
    refusal: Problem | None = None
    #: What a failed validation leaves of the challenge, its authorization and the order.
    aftermath: Aftermath = Aftermath.ORDER_INVALID
    #: With `CHALLENGE_PENDING`: the challenge is ``processing``, as if the CA went on trying.
    processing_after_an_error: bool = False
    #: The type of the problem for a response to a challenge that is not pending; Boulder's is ``conflict``.
    repeated_response: str = "malformed"
    #: So many of the next polls of authorizations show their challenges as pending, as a slow replica does.
    stale_authorizations: int = 0
    #: Added in front of each list of challenges.
    more_challenges: tuple[Any, ...] = ()
    #: A valid order does not name its certificate for so many polls.
    certificate_polls: int = 0
    #: What every finalized order ends with, instead of a certificate.
    order_failure: Problem | None = None
    #: Whether it reports why a validation or an order failed.
    tells_why: bool = True
    #: The only kind of challenge that it offers.
    challenge: str = "http-01"
    #: Each alternate chain begins with the first certificate that the CA has issued.
    mixes_alternates_up: bool = False
    #: What is wrong with each certificate issued.
    flaws: frozenset[Flaw] = frozenset()
    #: Chooses whose nonce is bad.
    random: Random = field(default_factory=Random, repr=False)
    _faults: dict[str, deque[Iterator[Fault | None]]] = field(
        default_factory=lambda: defaultdict(deque), repr=False
    )
    _lock: Lock = field(default_factory=Lock, repr=False)

    def fail(self, kind: str, fault: Fault, *, times: int | None = 1) -> None:
        """
        Answer the next *times* requests of *kind* with *fault*, after those already asked for; None: all.
        """
        with self._lock:
            self._faults[kind].append(iter(repeat(fault) if times is None else repeat(fault, times)))

    def after(self, kind: str, times: int, fault: Fault) -> None:
        """
        Answer *times* requests of *kind* as usual, and all further ones with *fault*.
        """
        with self._lock:
            self._faults[kind].append(chain(repeat(None, times), repeat(fault)))

    def rate_limit(
        self,
        retry_after_seconds: int,
        detail: str = "too many new orders recently",
        *,
        times: int | None = 1,
    ) -> None:
        """
        Refuse the next *times* orders with ``rateLimited`` (RFC 8555, section 6.6).
        """
        self.fail("newOrder", Fault(429, "rateLimited", retry_after_seconds, detail), times=times)

    def reset(self) -> None:
        """
        Turn every switch off.
        """
        with self._lock:
            fresh = FaultInjection()
            for name in vars(fresh):
                if name not in ("random", "_lock"):
                    setattr(self, name, getattr(fresh, name))

    def next_fault(self, kind: str) -> Fault | None:
        """
        What the request of *kind* that has just come in is answered with; None: the truth.
        """
        with self._lock:
            waiting = self._faults.get(kind)
            while waiting:
                for fault in waiting[0]:
                    return fault
                waiting.popleft()
            return None

    def spoils_nonce(self) -> bool:
        """
        Whether the nonce of the request that has just come in counts as bad.
        """
        with self._lock:
            if self.bad_nonces > 0:
                self.bad_nonces -= 1
                return True
            return self.random.random() < self.bad_nonce_share
