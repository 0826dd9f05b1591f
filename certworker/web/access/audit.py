"""
The audit lines of the log: who did what, to which name, from where.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from urllib.parse import quote

from flask import Response, g, request

from certworker.errors import printable
from certworker.web.access.csrf import SAFE

logger = logging.getLogger(__name__)

#: The maximum number of names in an audit line.
MOST_NAMES = 20


def audit_names(names: Iterable[str]) -> None:
    """
    Add *names*, which are in the body of the current request, to its audit line.
    """
    g.audited_names = tuple(names)


def log_action(response: Response) -> None:
    """
    Log the current request and its *response*, unless the method of the request changes nothing.
    """
    if request.method in SAFE:
        return
    who = g.get("audit") or (g.access.identity if g.get("access") else "unknown")
    path_names = tuple(str(value) for key, value in (request.view_args or {}).items() if key == "name")
    names = g.get("audited_names") or path_names
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    logger.info(
        "%s from %s: %s",
        who,
        g.client.address,
        # Unquoted spaces in a path could add fields to the line.
        f"{request.method} {printable(quote(request.path, safe='/:*+@~'), 300)}",
        extra={
            "event": "audit",
            "fields": {
                "identity": who,
                "address": g.client.address,
                "action": (request.endpoint or "").rpartition(".")[2] or "none",
                **({"names": ", ".join(names[:MOST_NAMES]) + more} if names else {}),
                "status": response.status_code,
            },
        },
    )
