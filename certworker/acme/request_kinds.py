"""
The kinds of requests to a CA, for counting them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from certworker.acme.resources import Directory

#: `account` registers or finds an account. `order` is a new order. `poll` reads an order, an authorization,
#: an account or a certificate. `other` changes an account, or deactivates an account or an authorization.
Kind = Literal[
    "directory",
    "nonce",
    "account",
    "order",
    "poll",
    "challenge",
    "finalize",
    "revocation",
    "key_change",
    "renewal_info",
    "other",
]

#: Called after each request. The arguments are its kind, the HTTP status, and the duration in seconds.
ObserveRequest = Callable[[Kind, int, float], object]

#: The status of a request without a response.
NO_ANSWER = 0


def unobserved(_kind: Kind, _status: int, _seconds: float) -> None:
    """
    Do nothing after a request.
    """


def kind_of(url: str, payload: Mapping[str, Any] | None, directory: Directory | None) -> Kind:
    """
    Return the kind of a POST of *payload* to *url*.

    The URLs of a CA may have any form. The URLs in its *directory* are known; for any other URL, the payload
    shows the kind.
    """
    if directory is not None:
        known: dict[str | None, Kind] = {
            directory.new_account: "account",
            directory.new_order: "order",
            directory.revoke: "revocation",
            directory.change_key: "key_change",
        }
        if kind := known.get(url):
            return kind
    if payload is None:
        return "poll"
    if "csr" in payload:
        return "finalize"
    # A response to a challenge is an empty object (RFC 8555, section 7.5.1).
    return "other" if payload else "challenge"
