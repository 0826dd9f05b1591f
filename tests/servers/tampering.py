"""
A development CA whose answers a test changes on their way: each oddity of another CA, one at a time.
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
    Let *change* have each answer of *authority* before it goes out.
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
    Let *authority* refuse each request for which *decide* returns a problem; it does not carry it out.

    Args:
        decide: Gets the request and the protected header of its JWS, which is empty for a GET.
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
    Return the protected header of the JWS in *request*; empty for a GET.
    """
    if not request.body:
        return {}
    header: dict[str, Any] = json.loads(decode_b64jose(json.loads(request.body)["protected"]))
    return header


def with_headers(reply: Reply, **changed: str | None) -> Reply:
    """
    Return *reply* with other headers (`Replay_Nonce` is `Replay-Nonce`); None removes one.
    """
    headers = {**reply.headers, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return replace(reply, headers={name: value for name, value in headers.items() if value is not None})


def with_members(reply: Reply, **changed: Any) -> Reply:
    """
    Return *reply* with other members in its JSON object; None removes one.
    """
    members = json.loads(reply.body) | changed
    kept = {name: value for name, value in members.items() if value is not None}
    return replace(reply, body=json.dumps(kept).encode())


def only(kind: str, change: Callable[[Reply], Reply]) -> Change:
    """
    Return the *change* for answers to requests of *kind* (`newOrder`, `directory`, …) alone.
    """
    return lambda request, reply: change(reply) if request.kind == kind else reply
