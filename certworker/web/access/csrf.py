"""
The tokens that protect actions against requests of other sites (CSRF).

A browser adds cookies, and a proxy adds its header, to the requests of other sites as well. So an action also
needs a token that only the page knows. A request with a bearer token needs none: no other site knows it.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from flask import current_app, g, request

from certworker.web.access.refusals import Refused

#: Methods that change nothing (RFC 9110, section 9.2.1).
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"


def csrf_token() -> str:
    """
    Return the CSRF token of the running request's access, for a form or the header `X-CSRF-Token`.
    """
    identity = g.access.identity if g.access else ""
    key = str(current_app.secret_key).encode()
    return hmac.new(key, f"csrf {identity}".encode(), sha256).hexdigest()


def check_csrf() -> None:
    """
    Check the CSRF token of an action.

    Raises:
        Refused: The token is missing or wrong.
    """
    if request.method in SAFE or g.by_bearer:
        return
    given = request.headers.get(HEADER) or request.form.get(FIELD) or ""
    if not hmac.compare_digest(given.encode(), csrf_token().encode()):
        raise Refused(403, "The form is too old, or another site sent it.", "Reload the page, and try again.")
