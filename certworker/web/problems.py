"""
Problem documents (RFC 9457), the error responses for programs.
"""

from __future__ import annotations

import json

from flask import Response

CONTENT_TYPE = "application/problem+json"
#: The type of a problem that the status explains (RFC 9457, section 4.2.1).
BLANK = "about:blank"


def problem(
    status: int, title: str, detail: str = "", *, kind: str = BLANK, code: str = "", remedy: str = ""
) -> Response:
    """
    Return a problem document.

    Args:
        status: The HTTP status.
        title: The kind of the problem, the same for each occurrence.
        detail: What happened, as a sentence.
        kind: The URL of the page that explains the problem, or :data:`BLANK`.
        code: The error code of certworker; empty without one.
        remedy: What to change, in the imperative.
    """
    members = {"type": kind, "title": title, "status": status}
    more = {"detail": detail, "code": code, "remedy": remedy}
    document = members | {name: text for name, text in more.items() if text}
    return Response(json.dumps(document), status, content_type=CONTENT_TYPE)
