"""
The steps of each request: its resource, signature and nonce, reply, and entry in the list of requests.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock

from certworker.devca.accounts import Accounts
from certworker.devca.messages import Call, Problem, Refused, Reply, Request, refusal
from certworker.devca.protocol import Nonces, verify

logger = logging.getLogger(__name__)

#: The list contains only the latest requests.
MAX_LOGGED_REQUESTS = 100_000


@dataclass(frozen=True)
class LoggedRequest:
    """
    One request to the CA, with the status of its reply.
    """

    method: str
    #: `newOrder`, `challenge`, `renewalInfo`, …
    kind: str
    #: The names of the order, authorization, or certificate, if the CA knows them.
    names: tuple[str, ...]
    #: The HTTP status; 0: the connection ended without a reply.
    status: int


@dataclass(frozen=True)
class Route:
    """
    The handler of a resource, and the rules for the signatures of its requests.
    """

    answer: Callable[[Call], Reply]
    signed: bool = True
    #: The request contains its key (True), names its account (False), or either (None).
    brings_key: bool | None = False


class Dispatcher:
    """
    Verifies each signed request, passes each request to its resource, and adds the headers of every reply.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        accounts: Accounts,
        lock: Lock,
    ) -> None:
        self.logged: deque[LoggedRequest] = deque(maxlen=MAX_LOGGED_REQUESTS)
        self._routes = routes
        self._accounts = accounts
        self._lock = lock
        self._nonces = Nonces()

    def answer(self, request: Request) -> Reply | None:
        """
        Return the reply to *request*. None ends the connection without a reply.
        """
        with self._lock:
            reply = self._reply(request)
            reply = replace(reply, headers=self._headers(request, reply))
        self._log(request, reply)
        return reply

    def _log(self, request: Request, reply: Reply, *, cut: bool = False) -> None:
        self.logged.append(
            LoggedRequest(request.method, request.kind, reply.names, 0 if cut else reply.status)
        )

    def _reply(self, request: Request) -> Reply:
        try:
            route = self._route(request)
            return route.answer(self._verified(request, route) if route.signed else Call(request))
        except Refused as refused:
            return refusal(refused.problem, refused.headers)
        except Exception:
            logger.exception("the development CA failed at %s", request.kind)
            return refusal(Problem("serverInternal", "The CA failed; its log has the reason."))

    def _headers(self, request: Request, reply: Reply) -> dict[str, str]:
        links = [f'<{request.base}/directory>;rel="index"', *filter(None, [reply.headers.get("Link")])]
        always = {"Replay-Nonce": self._nonces.new(), "Cache-Control": "no-store", "Link": ", ".join(links)}
        return {**reply.headers, **always}

    def _route(self, request: Request) -> Route:
        route = self._routes.get(request.kind)
        if route is None:
            raise Refused("malformed", "There is no such resource.", status=404)
        if route.signed is not (request.method == "POST"):
            raise Refused("malformed", f"This resource does not allow {request.method}.", status=405)
        return route

    def _verified(self, request: Request, route: Route) -> Call:
        call, nonce = verify(request, self._accounts, brings_key=route.brings_key)
        if not self._spend(nonce):
            raise Refused("badNonce", "The nonce is unknown, or has already been used.")
        return call

    def _spend(self, nonce: str) -> bool:
        return self._nonces.spend(nonce)
