"""
The faults that a test injects into its CA.

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
    A flaw of a certificate.
    """

    CHAIN_MISSING = "the leaf alone"
    CHAIN_OUT_OF_ORDER = "the intermediate before the leaf"
    OTHER_NAMES = "names that were not ordered"
    OTHER_KEY = "a key that is not the one of the signing request"
    EXPIRED = "a validity period that has ended"


class Aftermath(Enum):
    """
    The states after a failed validation. Each member is the behavior of a CA.
    """

    ORDER_INVALID = "challenge, authorization and order are invalid: Boulder"
    ORDER_PENDING = "challenge and authorization are invalid, the order is pending: acme2certifier"
    AUTHORIZATION_PENDING = "the challenge is invalid, authorization and order are pending: step-ca"
    CHALLENGE_PENDING = "all are pending, and the challenge has an error: step-ca without a connection"
    RESPONSE_REFUSED = "the response to the challenge is refused with the problem of the validation: serles"


@dataclass(frozen=True)
class Fault:
    """
    A response that does not depend on the request.
    """

    status: int = 500
    #: The type of the problem document. None means an HTML page, as load balancers send.
    problem: str | None = "serverInternal"
    retry_after_seconds: int | None = None
    detail: str = "The test makes the CA fail."
    #: Whether the CA processes the request nevertheless.
    carried_out: bool = False
    #: Whether the CA processes the request, but ends the connection without a response.
    cut: bool = False


@dataclass
class FaultInjection:
    """
    The faults of the CA. A new object has none.
    """

    #: The number of next signed requests that the CA rejects with badNonce.
    bad_nonces: int = 0
    #: The share of the other signed requests that the CA rejects with badNonce, 0 to 1.
    bad_nonce_share: float = 0.0
    #: The delay of the response by the kind of request (`newOrder`, `challenge`, …).
    slow_seconds: dict[str, float] = field(default_factory=dict)
    #: The delay before each validation.
    validation_seconds: float = 0.0
    #: A finalized order is `processing` for this number of polls, and at least for this time.
    processing_polls: int = 0
    processing_seconds: float = 0.0
    #: Retry-After of unfinished orders and authorizations.
    poll_after_seconds: int | None = None
    #: The result of each validation, independent of the response of the domain.
    refusal: Problem | None = None
    #: The states of the challenge, its authorization and the order after a failed validation.
    aftermath: Aftermath = Aftermath.ORDER_INVALID
    #: Whether the challenge is `processing` with `CHALLENGE_PENDING`, as if the CA continued to validate.
    processing_after_an_error: bool = False
    #: The problem type for a response to a challenge that is not pending. Boulder's type is `conflict`.
    repeated_response: str = "malformed"
    #: The number of next polls of authorizations that show pending challenges, as a slow replica does.
    stale_authorizations: int = 0
    #: Additional challenges at the beginning of each list.
    more_challenges: tuple[Any, ...] = ()
    #: The number of polls for which a valid order does not name its certificate.
    certificate_polls: int = 0
    #: The problem with which each finalized order ends, instead of a certificate.
    order_failure: Problem | None = None
    #: Whether the CA reports the reason of a failed validation or order.
    tells_why: bool = True
    #: The only challenge type that the CA offers.
    challenge: str = "http-01"
    #: Whether each alternate chain begins with the first certificate that the CA issued.
    mixes_alternates_up: bool = False
    #: The flaws of each issued certificate.
    flaws: frozenset[Flaw] = frozenset()
    #: The generator that selects the requests with a bad nonce.
    random: Random = field(default_factory=Random, repr=False)
    _faults: dict[str, deque[Iterator[Fault | None]]] = field(
        default_factory=lambda: defaultdict(deque), repr=False
    )
    _lock: Lock = field(default_factory=Lock, repr=False)

    def fail(self, kind: str, fault: Fault, *, times: int | None = 1) -> None:
        """
        Answer the next *times* requests of *kind* with *fault*, after the faults already set. None means all.
        """
        with self._lock:
            self._faults[kind].append(iter(repeat(fault) if times is None else repeat(fault, times)))

    def after(self, kind: str, times: int, fault: Fault) -> None:
        """
        Answer *times* requests of *kind* as usual, and all later ones with *fault*.
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
        Reject the next *times* orders with `rateLimited` (RFC 8555, section 6.6).
        """
        self.fail("newOrder", Fault(429, "rateLimited", retry_after_seconds, detail), times=times)

    def reset(self) -> None:
        """
        Remove all faults.
        """
        with self._lock:
            fresh = FaultInjection()
            for name in vars(fresh):
                if name not in ("random", "_lock"):
                    setattr(self, name, getattr(fresh, name))

    def next_fault(self, kind: str) -> Fault | None:
        """
        Return the fault for the current request of *kind*, or None for the usual response.
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
        Return whether the CA rejects the nonce of the current request.
        """
        with self._lock:
            if self.bad_nonces > 0:
                self.bad_nonces -= 1
                return True
            return self.random.random() < self.bad_nonce_share
