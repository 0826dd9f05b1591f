"""
What an order needs from outside: requests to the CA, time, and randomness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from certworker.acme.polling import UNKNOWN_SECONDS, intervals
from certworker.acme.transport import Reply
from certworker.errors import CertworkerError
from certworker.errors.acme import Malformed, ResourceNotFound

#: A CA reads from replicas: for so long it may not know what it has just made.
UNKNOWN_PATIENCE = timedelta(seconds=10)

#: How a CA answers a request for a resource that it does not know yet.
UNKNOWN = (Malformed, ResourceNotFound)


@dataclass(frozen=True)
class OrderContext:
    """
    The account's signed requests to one CA, and the time between them.
    """

    #: The CA's title, for messages.
    authority: str
    #: Sends a payload (None: POST-as-GET) to a URL, signed by the account that ordered.
    ask: Callable[[str, dict[str, Any] | None], Reply]
    #: The thumbprint of the key of that account (RFC 7638).
    thumbprint: str
    #: The common name of the root whose chain is preferred; None: the CA's default chain.
    preferred_chain: str | None
    clock: Callable[[], datetime]
    #: Waits for so many seconds.
    sleep: Callable[[float], None]
    random: Random

    def fetch(self, url: str) -> Reply:
        """
        Return the resource at *url*, which the CA has named: a 404 or `malformed` is retried for 10 seconds.

        Raises:
            CertworkerError: The CA still does not know the resource, refuses, or does not answer.
        """
        retries = self.retries()
        while True:
            try:
                return self.ask(url, None)
            except UNKNOWN as unknown:
                retries(unknown)

    def retries(self) -> Callable[[CertworkerError], None]:
        """
        Return a function that waits before each retry of one request.

        It takes the failure of the last try, and raises that once 10 seconds have passed.
        """
        deadline = self.clock() + UNKNOWN_PATIENCE
        seconds = intervals(UNKNOWN_SECONDS, self.random)

        def wait(failure: CertworkerError) -> None:
            pause = next(seconds)
            if self.clock() + timedelta(seconds=pause) > deadline:
                raise failure
            self.sleep(pause)

        return wait
