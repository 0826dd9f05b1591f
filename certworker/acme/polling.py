"""
The short pauses between the requests of an order, and when a limit of the CA resets.

:class:`OrderContext` sends the requests of an order, and retries while the CA does not know a new resource.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from certworker.acme.transport import Reply
from certworker.errors import CertworkerError
from certworker.errors.acme import Malformed, ResourceNotFound
from certworker.http_dates import retry_after

#: The longest wait that Let's Encrypt requests is a week. A limit that resets much later is an error of the
#: CA, so certworker waits at most this long.
LONGEST_LIMIT = timedelta(days=8)
SHORTEST_LIMIT = timedelta(seconds=1)
#: The pause if the limit seems to have been reset already, because the clocks differ.
LIMIT_IN_THE_PAST = timedelta(seconds=60)

#: The first pauses. A local CA needs a few milliseconds for a validation, and even less time to sign. The
#: pauses double up to :data:`LONGEST_PAUSE_SECONDS`.
VALIDATION_POLL_SECONDS = 0.008
ISSUANCE_POLL_SECONDS = 0.001
#: The pause before the first retry of a request for a new resource that the CA does not know yet.
UNKNOWN_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0

#: After this number of consecutive orders that were ready at their first poll, the next orders are finalized
#: without this poll, until the CA refuses one.
PROMPT_ORDERS = 5

#: The text in a rate-limit message from Boulder that contains the time at which the limit resets.
_LIMIT_END = re.compile(r"retry after (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", re.IGNORECASE)

#: The maximum time for which a new resource may remain unknown to a CA with database replicas.
UNKNOWN_TIMEOUT = timedelta(seconds=10)

#: The possible failures of a request for a resource that the CA does not know yet.
UNKNOWN = (Malformed, ResourceNotFound)


def rate_limit_end(headers: Mapping[str, str], text: str, now: datetime) -> datetime | None:
    """
    Return when a limit of the CA resets, between a second and eight days from *now*; None if unknown.

    The time comes from the Retry-After header, or else from the *text* of the problem.
    """
    end = retry_after(headers, now) or _limit_end(text)
    if end is None:
        return None
    if end < now:
        return now + LIMIT_IN_THE_PAST
    return min(max(end, now + SHORTEST_LIMIT), now + LONGEST_LIMIT)


def intervals(first_seconds: float, random: Random) -> Iterator[float]:
    """
    Yield an endless series of pauses in seconds: *first_seconds*, then doubled up to two seconds.

    A local CA decides within milliseconds; a CA on the Internet validates from several places, and needs
    seconds. Each pause is randomly up to 25% longer, so that jobs that start together do not poll together.
    """
    pause = first_seconds
    while True:
        yield pause * random.uniform(1, 1.25)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _limit_end(text: str) -> datetime | None:
    found = _LIMIT_END.search(text)
    try:
        return datetime.fromisoformat(f"{found[1]}+00:00") if found else None
    except ValueError:
        return None


class Promptness:
    """
    Whether the last orders with a CA were ready at their first poll. All threads share this record.
    """

    def __init__(self) -> None:
        self._prompt_orders = 0

    @property
    def is_expected(self) -> bool:
        """
        Whether the next order is probably ready before its first poll.
        """
        return self._prompt_orders >= PROMPT_ORDERS

    def note(self, was_ready: bool) -> None:
        """
        Record whether an order *was_ready* at its first poll.
        """
        self._prompt_orders = self._prompt_orders + 1 if was_ready else 0


@dataclass(frozen=True)
class OrderContext:
    """
    The signed requests of an order to its CA, and the pauses between them.
    """

    #: The name of the CA in messages.
    ca_title: str
    #: Sends a payload (None for POST-as-GET) to a URL, signed with the key of the order's account.
    request: Callable[[str, dict[str, Any] | None], Reply]
    #: The thumbprint of the account key (RFC 7638).
    thumbprint: str
    #: The common name of the preferred chain's root; None for the default chain of the CA.
    preferred_chain: str | None
    #: Returns the type of the challenge to respond to, for a name of the order: `http-01` or `dns-01`.
    challenge_type: Callable[[str], str]
    clock: Callable[[], datetime]
    #: Waits for a number of seconds.
    sleep: Callable[[float], None]
    random: Random
    #: Whether an order is probably ready before its first poll.
    promptness: Promptness = field(default_factory=Promptness)

    def fetch(self, url: str) -> Reply:
        """
        Return the resource at *url*. Retry after a 404 or `malformed`, for at most 10 seconds.

        Raises:
            CertworkerError: The CA does not know the resource, refuses, or does not respond.
        """
        retries = self.retries()
        while True:
            try:
                return self.request(url, None)
            except UNKNOWN as unknown:
                retries(unknown)

    def retries(self) -> Callable[[CertworkerError], None]:
        """
        Return a function that waits before each retry of one request.

        The function takes the failure of the last attempt. It raises this failure if the retry would be later
        than 10 seconds after this call.
        """
        deadline = self.clock() + UNKNOWN_TIMEOUT
        seconds = intervals(UNKNOWN_SECONDS, self.random)

        def wait(failure: CertworkerError) -> None:
            pause = next(seconds)
            if self.clock() + timedelta(seconds=pause) > deadline:
                raise failure
            self.sleep(pause)

        return wait
