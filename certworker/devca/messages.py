"""
Requests, replies and problem documents, without the network around them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from josepy.jwk import JWK

from certworker.devca.accounts import Account

URN = "urn:ietf:params:acme:error:"

#: The HTTP status by type of problem; 400 for all other types.
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
class Request:
    """
    An HTTP request; its path is `/KIND` or `/KIND/ID`.
    """

    method: str
    #: The address that the client used, `http://HOST:PORT`. Every URL in the reply begins with it.
    base: str
    path: str
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def url(self) -> str:
        """
        Return the URL that the protected header must contain (RFC 8555, section 6.4).
        """
        return self.base + self.path

    @property
    def kind(self) -> str:
        """
        Return the kind of the resource, the first part of the path: `newOrder`, `order`, …
        """
        return self.path.removeprefix("/").partition("/")[0]

    @property
    def id(self) -> str:
        """
        Return the id of the resource; empty if there is only one resource of its kind.
        """
        return self.path.removeprefix("/").partition("/")[2]


@dataclass(frozen=True)
class Call:
    """
    A request whose signature, if the resource requires one, is valid.
    """

    request: Request
    #: None for POST-as-GET (RFC 8555, section 6.3) and for a plain GET.
    payload: dict[str, Any] | None = None
    #: The key that signed the request; None for an unsigned request.
    key: JWK | None = None
    #: The account of the key; None if the request contains the key, or is unsigned.
    account: Account | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """
        Return the payload.

        Raises:
            Refused: The request has no payload.
        """
        if self.payload is None:
            raise Refused("malformed", "This request needs a JSON object as payload.")
        return self.payload

    @property
    def owner(self) -> Account:
        """
        Return the account that signed the request.

        Raises:
            Refused: The request names no account.
        """
        if self.account is None:
            raise Refused("malformed", "This request must be signed with a kid.")
        return self.account

    def url(self, kind: str, identifier: str) -> str:
        """
        Return the URL of another resource, as this client reaches it.
        """
        return f"{self.request.base}/{kind}/{identifier}"


@dataclass(frozen=True)
class Reply:
    """
    An HTTP response.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: The names of the order, authorization, or certificate, for the list of requests.
    names: tuple[str, ...] = ()


def document(
    content: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    names: tuple[str, ...] = (),
) -> Reply:
    """
    Return a reply with a JSON object.
    """
    return Reply(status, json.dumps(content).encode(), headers=headers or {}, names=names)


def refusal(problem: Problem, headers: Mapping[str, str] | None = None) -> Reply:
    """
    Return a reply with a problem document.
    """
    body = json.dumps(problem.as_json()).encode()
    return Reply(problem.http_status, body, "application/problem+json", headers or {})


@dataclass(frozen=True)
class Problem:
    """
    A problem document (RFC 7807; RFC 8555, section 6.7).
    """

    #: The last part of the URN, such as `badNonce`.
    kind: str
    detail: str
    #: The HTTP status; None: the usual status of the kind.
    status: int | None = None
    #: Further members of the document, such as `algorithms` or `subproblems`.
    members: tuple[tuple[str, Any], ...] = ()

    @property
    def http_status(self) -> int:
        """
        Return the HTTP status of the reply.
        """
        return self.status or STATUS.get(self.kind, 400)

    def as_json(self) -> dict[str, Any]:
        """
        Return the document.
        """
        return {
            "type": URN + self.kind,
            "detail": self.detail,
            "status": self.http_status,
            **dict(self.members),
        }


class Refused(Exception):
    """
    The CA refuses a request with a problem document.
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
