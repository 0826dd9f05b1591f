"""
How the CA says no: problem documents (RFC 7807, RFC 8555 section 6.7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

URN = "urn:ietf:params:acme:error:"

#: The HTTP status of each type of problem; 400 where none is listed.
STATUS = {
    "alreadyReplaced": 409,
    "conflict": 409,
    "externalAccountRequired": 403,
    "orderNotReady": 403,
    "rateLimited": 429,
    "serverInternal": 500,
    "unauthorized": 403,
    "userActionRequired": 403,
}


@dataclass(frozen=True)
class Problem:
    """
    One problem document.
    """

    #: The last part of the URN, such as ``badNonce``.
    kind: str
    detail: str
    #: None: the status that belongs to the kind.
    status: int | None = None
    #: Further members of the document, such as ``algorithms`` or ``subproblems``.
    members: tuple[tuple[str, Any], ...] = ()

    @property
    def http_status(self) -> int:
        """
        The status line that goes with it.
        """
        return self.status or STATUS.get(self.kind, 400)

    def as_json(self) -> dict[str, Any]:
        """
        The document itself.
        """
        return {
            "type": URN + self.kind,
            "detail": self.detail,
            "status": self.http_status,
            **dict(self.members),
        }


class Refused(Exception):
    """
    The request is answered with a problem document.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        self.problem = Problem(kind, detail, status, tuple(members.items()))
        self.headers = headers or {}
        super().__init__(detail)
