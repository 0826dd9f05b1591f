"""
A development CA whose responses a test changes, to reproduce the behavior of another CA.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from josepy.json_util import decode_b64jose

from certworker.devca.messages import Problem, Reply, Request, refusal
from tests.servers.faulty_authority import FaultyAuthority

Change = Callable[[Request, Reply], Reply]


@contextmanager
def tampered(authority: FaultyAuthority, change: Change) -> Iterator[None]:
    """
    Change each response of *authority* with *change* before the CA sends it.
    """
    server = authority._server
    assert server is not None
    truth = server.answer

    def answer(request: Request) -> Reply | None:
        reply = truth(request)
        return None if reply is None else change(request, reply)

    server.answer = answer
    yield
    server.answer = truth


@contextmanager
def refusing(
    authority: FaultyAuthority, decide: Callable[[Request, dict[str, Any]], Problem | None]
) -> Iterator[None]:
    """
    Reject each request to *authority* for which *decide* returns a problem. The CA does not process it.

    Args:
        decide: A function of the request and of the protected header of its JWS, which is empty for a GET.
    """
    server = authority._server
    assert server is not None
    truth = server.answer

    def answer(request: Request) -> Reply | None:
        problem = decide(request, protected(request))
        return truth(request) if problem is None else refusal(problem, {"Replay-Nonce": "AAAA"})

    server.answer = answer
    yield
    server.answer = truth


def protected(request: Request) -> dict[str, Any]:
    """
    Return the protected header of the JWS in *request*. It is empty for a GET.
    """
    if not request.body:
        return {}
    header: dict[str, Any] = json.loads(decode_b64jose(json.loads(request.body)["protected"]))
    return header


def with_headers(reply: Reply, **changed: str | None) -> Reply:
    """
    Return *reply* with changed headers (`Replay_Nonce` is `Replay-Nonce`). None removes a header.
    """
    headers = {**reply.headers, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return replace(reply, headers={name: value for name, value in headers.items() if value is not None})


def with_members(reply: Reply, **changed: Any) -> Reply:
    """
    Return *reply* with changed members in its JSON object. None removes a member.
    """
    members = json.loads(reply.body) | changed
    kept = {name: value for name, value in members.items() if value is not None}
    return replace(reply, body=json.dumps(kept).encode())


def only(kind: str, change: Callable[[Reply], Reply]) -> Change:
    """
    Return *change* for only the responses to requests of *kind* (`newOrder`, `directory`, …).
    """
    return lambda request, reply: change(reply) if request.kind == kind else reply
