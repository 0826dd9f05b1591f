"""
The Flask application of the page and the API.

`current_app.extensions["certworker"]` has the components. Each view names the role that it needs:
:func:`certworker.web.access.allowed`.
"""

from __future__ import annotations

import importlib
import importlib.util
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request

from certworker.web.access import Accesses, Refused, csrf_token
from certworker.web.access.accesses import bearer_token
from certworker.web.problems import problem

#: The headers of each answer. The policy allows neither scripts nor styles in the page, and nothing external.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

#: The largest body of a request. The names of a request have at most 253 characters each.
LONGEST_BODY = 256 * 1024


@dataclass(frozen=True)
class WebComponents:
    """
    The components that the views use.

    Attributes:
        sources: The settings, Redis and the volume.
        index: The names, with search and pages.
        actions: The requests for the worker.
        access: Finds the access of a request.
    """

    sources: Any
    index: Any
    actions: Any
    access: Accesses


def build_application(components: WebComponents) -> Flask:
    """
    Return the application with the page and the API.
    """
    application = Flask("certworker.web", static_folder=None)
    application.secret_key = secrets.token_hex(32)
    application.config.update(MAX_CONTENT_LENGTH=LONGEST_BODY, MAX_FORM_MEMORY_SIZE=LONGEST_BODY)
    application.extensions["certworker"] = components
    application.jinja_env.globals["csrf_token"] = csrf_token

    @application.before_request
    def find_access() -> None:
        g.by_bearer = bool(bearer_token(request))
        g.access = components.access.find(request)

    @application.after_request
    def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @application.errorhandler(Refused)
    def refuse(refusal: Refused) -> Response:
        title = HTTPStatus(refusal.status).phrase
        if request.path.startswith("/api/"):
            return problem(refusal.status, title, refusal.detail, remedy=refusal.remedy)
        text = f"{title}. {refusal.detail} {refusal.remedy}\n"
        return Response(text, refusal.status, content_type="text/plain; charset=utf-8")

    for name in ("certworker.web.api", "certworker.web.pages"):
        if importlib.util.find_spec(name):
            module = importlib.import_module(name)
            application.register_blueprint(module.blueprint())
    return application
