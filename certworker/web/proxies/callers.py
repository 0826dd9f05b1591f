"""
Who calls: the token of a proxy, its rate limit, and the audit lines of delivered keys.
"""

from __future__ import annotations

import logging
from threading import Lock

from flask import current_app, g, request

from certworker.web.access import Refused, current_access
from certworker.web.access.accesses import access_with
from certworker.web.api.rate_limit import RateLimit

logger = logging.getLogger(__name__)

#: The calls per second of one token, and how many may arrive at the same time. A proxy calls at each
#: handshake.
CALLS_PER_SECOND = 500.0
BURST = 5_000

#: The deliveries that are remembered. Each takes about 100 bytes.
MOST_DELIVERIES = 100_000

REMEDY = "Create a token: certworker token create --role proxy"


class Callers:
    """
    Checks each call of a proxy, and logs each key that it gets.
    """

    def __init__(self) -> None:
        self._limit = RateLimit(per_second=CALLS_PER_SECOND, burst=BURST)
        self._delivered: set[int] = set()
        self._lock = Lock()

    def check(self) -> None:
        """
        Find the access of the running request: only a token in the header `Authorization` counts.

        Some proxies can send only a user and a password. Then the password is the token.

        Raises:
            Refused: A proxy has forwarded the call, its token is missing or wrong, or it comes too often.
        """
        if g.client.is_forwarded:
            raise Refused(403, "Another proxy has forwarded this call.", "Connect to this address directly.")
        if not g.by_bearer:
            g.access = None
            if (basic := request.authorization) and basic.type == "basic" and basic.password:
                accesses = current_app.extensions["certworker"].access
                g.access = access_with(accesses.check(basic.password, g.client))
        if g.access is None:
            raise Refused(401, "A token is needed.", REMEDY)
        if seconds := self._limit.wait_of(current_access().identity):
            raise Refused(429, "The proxy calls too often.", f"Wait {seconds} s.", retry_after=seconds)

    def log_delivery(self, what: str, version: str) -> None:
        """
        Log that the caller gets *what*, once for each *version*, address and token.
        """
        identity, address = current_access().identity, g.client.address
        delivery = hash((identity, address, what, version))
        with self._lock:
            if delivery in self._delivered:
                return
            if len(self._delivered) >= MOST_DELIVERIES:
                self._delivered.clear()
            self._delivered.add(delivery)
        logger.info(
            "%s from %s gets the private key of %s",
            identity,
            address,
            what,
            extra={
                "event": "audit",
                "fields": {"identity": identity, "address": address, "action": "get_key", "names": what},
            },
        )
