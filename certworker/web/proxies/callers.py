"""
Who calls: the token of a proxy, its rate limit, and the audit lines of its calls.
"""

from __future__ import annotations

import logging
from threading import Lock

from flask import current_app, g, request

from certworker.errors import printable
from certworker.web.access import Refused, current_access
from certworker.web.access.accesses import access_with
from certworker.web.api.rate_limit import RateLimit

logger = logging.getLogger(__name__)

#: The calls per second of one token, and how many may arrive at the same time. A proxy may call at each
#: handshake.
CALLS_PER_SECOND = 500.0
BURST = 5_000

#: The maximum number of remembered deliveries. Each takes about 100 bytes.
MOST_DELIVERIES = 100_000

REMEDY = "Create a token: certworker token create --role proxy"


class Callers:
    """
    Checks each call from a proxy, and logs the keys that the proxy gets and the names that it requests.
    """

    def __init__(self) -> None:
        self._limit = RateLimit(per_second=CALLS_PER_SECOND, burst=BURST)
        self._delivered: set[int] = set()
        self._lock = Lock()

    def check(self) -> None:
        """
        Find the access of the current request: only a token in the `Authorization` header counts.

        Some proxies can send only a user and a password. In this case, the password is the token.

        Raises:
            Refused: Another proxy has forwarded the call, the token is missing or wrong, the address is
                locked out, or too many calls have used the token.
        """
        if g.client.is_forwarded:
            raise Refused(403, "Another proxy has forwarded this call.", "Connect to certworker directly.")
        if not g.by_bearer:
            g.access = None
            if password := _password():
                accesses = current_app.extensions["certworker"].access
                g.access = access_with(accesses.check(password, g.client))
        if g.access is None:
            raise Refused(401, "A token is needed.", REMEDY)
        if seconds := self._limit.wait_of(current_access().identity):
            raise Refused(429, "The proxy calls too often.", f"Wait {seconds} s.", retry_after=seconds)

    @property
    def label(self) -> str:
        """
        Return the token and the address of the current request.
        """
        return f"{current_access().identity} from {g.client.address}"

    def log_delivery(self, what: str, version: str) -> None:
        """
        Log that the caller gets the private key of *what*, once for each *version*, address and token.
        """
        delivery = hash((self.label, what, version))
        with self._lock:
            if delivery in self._delivered:
                return
            if len(self._delivered) >= MOST_DELIVERIES:
                self._delivered.clear()
            self._delivered.add(delivery)
        self._audit("get_key", f"{self.label} gets the private key of {what}", what)

    def log_request(self, text: str) -> None:
        """
        Log that the caller requests a certificate for the name in *text*.
        """
        name = printable(text, 253)
        self._audit("request", f"{self.label} requests a certificate for {name}", name)

    def _audit(self, action: str, line: str, names: str) -> None:
        who = {"identity": current_access().identity, "address": g.client.address}
        fields = {**who, "action": action, "names": names}
        logger.info("%s", line, extra={"event": "audit", "fields": fields})


def _password() -> str:
    """
    Return the password of basic authentication (RFC 7617); empty without one.
    """
    try:
        credentials = request.authorization
    except ValueError:
        return ""  # werkzeug fails on credentials that are not ASCII
    return credentials.password or "" if credentials and credentials.type == "basic" else ""
