"""
What comes in and what goes out, without the network around it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from josepy.jwk import JWK

from certworker.devca.accounts import Account
from certworker.devca.problems import Problem, Refused


@dataclass(frozen=True)
class Request:
    """
    One HTTP request; its path is ``/KIND`` or ``/KIND/ID``.
    """

    method: str
    #: The address the client used, ``http://HOST:PORT``: every URL in the answer begins with it.
    base: str
    path: str
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def url(self) -> str:
        """
        What the ``url`` header of the signature must say (RFC 8555, section 6.4).
        """
        return self.base + self.path

    @property
    def kind(self) -> str:
        """
        Which resource is meant, in the words of the directory: ``newOrder``, ``order``, …
        """
        return self.path.removeprefix("/").partition("/")[0]

    @property
    def id(self) -> str:
        """
        Which one of its kind; empty for the resources that exist once.
        """
        return self.path.removeprefix("/").partition("/")[2]


@dataclass(frozen=True)
class Call:
    """
    A request whose signature holds.
    """

    request: Request
    #: None for POST-as-GET (RFC 8555, section 6.3) and for a plain GET.
    payload: dict[str, Any] | None = None
    #: The key that signed it.
    key: JWK | None = None
    #: Whose key that is; None if the request brought the key with it.
    account: Account | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """
        The payload of a request that must have one.
        """
        if self.payload is None:
            raise Refused("malformed", "This request needs a JSON object as payload.")
        return self.payload

    @property
    def owner(self) -> Account:
        """
        The account of a request that must be signed by one.
        """
        if self.account is None:
            raise Refused("malformed", "This request must be signed with a kid.")
        return self.account

    def url(self, kind: str, identifier: str) -> str:
        """
        The URL of another resource, as this client reaches it.
        """
        return f"{self.request.base}/{kind}/{identifier}"


@dataclass(frozen=True)
class Reply:
    """
    One HTTP answer.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    #: The names it is about, for the CA's own list of requests.
    names: tuple[str, ...] = ()


def document(
    content: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    names: tuple[str, ...] = (),
) -> Reply:
    """
    A reply with a JSON object.
    """
    return Reply(status, json.dumps(content).encode(), headers=headers or {}, names=names)


def refusal(problem: Problem, headers: Mapping[str, str] | None = None) -> Reply:
    """
    A reply with a problem document.
    """
    body = json.dumps(problem.as_json()).encode()
    return Reply(problem.http_status, body, "application/problem+json", headers or {})
