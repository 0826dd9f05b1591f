"""
The routes of Flask, from the table of operations.
"""

from __future__ import annotations

import json
from functools import lru_cache

from flask import Blueprint, Response, g, request
from redis.exceptions import RedisError

from certworker.dashboard.names import NotReady
from certworker.errors import CertworkerError
from certworker.web.access import Access, allowed
from certworker.web.access.clients import network_of
from certworker.web.api.openapi import openapi
from certworker.web.api.operations import OPERATIONS
from certworker.web.api.rate_limit import RateLimit
from certworker.web.api.responses import Busy, NotKnown, failure_response, too_many_calls

BASE = "/api/v1"


def blueprint() -> Blueprint:
    """
    Return the routes of the API.
    """
    found = Blueprint("api", __name__, url_prefix=BASE)
    limit = RateLimit()

    @found.before_request
    def count_call() -> Response | None:
        access: Access | None = g.access
        seconds = limit.wait_of(access.identity if access else f"address {network_of(g.client.address)}")
        return too_many_calls(seconds) if seconds else None

    for operation in OPERATIONS:
        found.add_url_rule(
            operation.path.replace("{name}", "<name>"),
            operation.view.__name__,
            allowed(operation.role)(operation.view),
            methods=[operation.method],
        )
    found.add_url_rule("/openapi.json", "get_openapi", _get_openapi)
    for failure in (NotKnown, NotReady, Busy, RedisError, CertworkerError):
        found.register_error_handler(failure, failure_response)
    return found


def _get_openapi() -> Response:
    return Response(_document(f"{request.script_root}{BASE}"), content_type="application/json")


@lru_cache(maxsize=4)
def _document(base: str) -> str:
    # Without the cache, each call would take 20 ms, and the call needs no token.
    return json.dumps(openapi(base), indent=2) + "\n"
