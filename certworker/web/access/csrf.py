"""
The protection of actions against requests from other sites (CSRF).

A browser adds cookies, and a proxy adds its header, to requests from other sites as well. So an action also
needs a CSRF token, which only the page knows. A request with a bearer token needs none, because no other site
knows the bearer token.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from flask import current_app, g, request, session

from certworker.hosts import WEB_PORTS, Origin, host_and_port_in
from certworker.web.access.refusals import Refused

#: Methods that change nothing (RFC 9110, section 9.2.1).
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"

#: The values of Sec-Fetch-Site for requests from the page and from its user.
OWN_SITE = frozenset({"same-origin", "none"})


def csrf_token() -> str:
    """
    Return the CSRF token of the session or the user, for a form or the `X-CSRF-Token` header.
    """
    identity = g.access.identity if g.get("access") else ""
    key = str(current_app.secret_key).encode()
    return hmac.new(key, f"csrf {identity} {session.get('nonce')}".encode(), sha256).hexdigest()


def check_csrf() -> None:
    """
    Check that the page sent this request, unless the request changes nothing or has a bearer token.

    Raises:
        Refused: The CSRF token is missing or wrong, or the browser reports another site.
    """
    if request.method in SAFE or g.by_bearer:
        return
    check_origin()
    given = request.headers.get(HEADER) or request.form.get(FIELD) or ""
    if not hmac.compare_digest(given.encode(), csrf_token().encode()):
        raise Refused(403, "The form is too old, or another site sent it.", "Reload the page, and try again.")


def check_origin() -> None:
    """
    Check that no other site sent this request, as far as the browser reports it.

    Raises:
        Refused: The browser reports another site.
    """
    site = request.headers.get("Sec-Fetch-Site")
    # A browser without Sec-Fetch-Site, or on a page without HTTPS, sends Origin with each action.
    origin = request.headers.get("Origin")
    foreign = site not in OWN_SITE if site else bool(origin) and not _is_own(origin or "")
    if foreign:
        raise Refused(403, "Another site sent this request.", "Open the page itself, and try again.")


def _is_own(text: str) -> bool:
    # A proxy may name the default port of HTTPS in the Host header, and a browser names no default port.
    try:
        origin = Origin.of(text)
        host, port = host_and_port_in(request.host, WEB_PORTS[origin.scheme])
    except ValueError:
        return False
    return (origin.host, origin.port) == (host.lower(), port)
