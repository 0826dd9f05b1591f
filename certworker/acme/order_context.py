"""
What an order needs: requests to the CA, time and randomness.
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

#: How long a CA that reads from replicas may not know a new resource.
UNKNOWN_PATIENCE = timedelta(seconds=10)

#: The answers of a CA to a request for a resource that it does not know yet.
UNKNOWN = (Malformed, ResourceNotFound)


@dataclass(frozen=True)
class OrderContext:
    """
    The signed requests of the account to one CA, and the pauses between them.
    """

    #: The name of the CA for people.
    ca_title: str
    #: Sends a payload (None: POST-as-GET) to a URL, signed by the account of the order.
    request: Callable[[str, dict[str, Any] | None], Reply]
    #: The thumbprint of the account key (RFC 7638).
    thumbprint: str
    #: The common name of the root of the preferred chain; None: the default chain of the CA.
    preferred_chain: str | None
    clock: Callable[[], datetime]
    #: Waits, in seconds.
    sleep: Callable[[float], None]
    random: Random

    def fetch(self, url: str) -> Reply:
        """
        Return the resource at *url*, which the CA has named. A 404 or `malformed` is retried for 10 seconds.

        Raises:
            CertworkerError: The CA does not know the resource, refuses, or does not answer.
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

        The function takes the failure of the last attempt, and raises it after 10 seconds.
        """
        deadline = self.clock() + UNKNOWN_PATIENCE
        seconds = intervals(UNKNOWN_SECONDS, self.random)

        def wait(failure: CertworkerError) -> None:
            pause = next(seconds)
            if self.clock() + timedelta(seconds=pause) > deadline:
                raise failure
            self.sleep(pause)

        return wait
