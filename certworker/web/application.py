"""
The Flask application of the page, the API, and the routes for proxies.

`current_app.extensions["certworker"]` has the components. The decorator :func:`certworker.web.access.allowed`
of a view declares the roles that may use it.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit

from flask import Flask, Response, current_app, g, redirect, render_template, request, url_for
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response as AnyResponse

from certworker.redis.failures import address_of, to_failure
from certworker.web import api, pages, proxies
from certworker.web.access import Accesses, Refused, csrf_token, login
from certworker.web.access.accesses import bearer_token
from certworker.web.access.audit import log_action
from certworker.web.access.csrf import SAFE
from certworker.web.api.responses import RETRY_AFTER_SECONDS, failure_response, http_error_response
from certworker.web.components import WebComponents
from certworker.web.problems import problem

#: The headers of a response, unless it has its own. The policy allows no inline script or style, and nothing
#: external.
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

#: The largest body of a request in bytes. A request for 100 names is smaller, and so is a typical certificate
#: with its chain and its key.
LONGEST_BODY = 256 * 1024
MOST_FIELDS = 100

#: The beginnings of the paths whose failures are problem documents. Other failures are pages.
FOR_PROGRAMS = ("/api/", f"{proxies.PREFIX}/")


def build_application(components: WebComponents) -> Flask:
    """
    Return the application with the page, the API, and the routes for proxies.
    """
    application = Flask("certworker.web", static_folder=None)
    application.config.update(
        MAX_CONTENT_LENGTH=LONGEST_BODY, MAX_FORM_MEMORY_SIZE=LONGEST_BODY, MAX_FORM_PARTS=MOST_FIELDS
    )
    # Otherwise, Flask would redirect each path that has consecutive slashes.
    application.url_map.merge_slashes = False
    application.extensions["certworker"] = components
    application.jinja_env.globals["csrf_token"] = csrf_token
    login.set_up_sessions(application, components.secret_key, components.base_path)
    application.before_request(_find_access)
    application.after_request(_add_headers)
    application.after_request(_log)
    application.register_error_handler(Refused, _refuse)
    application.register_error_handler(HTTPException, _fail)
    application.register_error_handler(RedisError, _report_redis)
    application.register_blueprint(login.blueprint())
    application.register_blueprint(api.blueprint())
    application.register_blueprint(pages.blueprint())
    application.register_blueprint(proxies.blueprint())
    return application


def _find_access() -> None:
    accesses: Accesses = _components().access
    g.access = None
    g.by_bearer = bool(bearer_token(request))
    g.client = accesses.client(request)
    g.access = accesses.find(request, g.client)


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if isinstance(request.routing_exception, RequestRedirect):
        # Flask's URL has the host of the request, which a client can forge, and the scheme of this
        # server, which is never HTTPS.
        parts = urlsplit(request.routing_exception.new_url)
        response.headers["Location"] = urlunsplit(("", "", parts.path, parts.query, ""))
    return response


def _log(response: Response) -> Response:
    log_action(response)
    return response


def _refuse(refusal: Refused) -> AnyResponse:
    title = HTTPStatus(refusal.status).phrase
    if request.path.startswith(FOR_PROGRAMS):
        response = problem(refusal.status, title, refusal.detail, remedy=refusal.remedy)
    elif refusal.status == HTTPStatus.UNAUTHORIZED and request.method in SAFE and not g.by_bearer:
        query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
        return redirect(url_for("login.form", next=login.own_path(request.path + query)), 303)
    else:
        response = _page(refusal.status, title, refusal.detail, refusal.remedy)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="certworker"'
    if refusal.retry_after:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


def _fail(error: HTTPException) -> AnyResponse:
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error.get_response()
    if request.path.startswith(FOR_PROGRAMS):
        response = http_error_response(error)
    else:
        is_own_fault = error.code >= HTTPStatus.INTERNAL_SERVER_ERROR
        remedy = "Read the log of certworker." if is_own_fault else "Start again at the overview."
        response = _page(error.code, error.name, "", remedy)
    # A failure may have headers, such as Allow. Its Content-Type describes its own body, which is replaced.
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers.setdefault(name, value)
    return response


def _report_redis(error: RedisError) -> AnyResponse:
    if request.path.startswith(FOR_PROGRAMS):
        return failure_response(error)
    failure = to_failure(error, address_of(_components().sources.connection))
    response = _page(503, "The request failed", f"{failure.message} [{failure.code}]", failure.remedy)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _page(status: int, title: str, detail: str, remedy: str) -> Response:
    page = render_template("access/refused.html", title=title, detail=detail, remedy=remedy)
    return Response(page, status)


def _components() -> WebComponents:
    components: WebComponents = current_app.extensions["certworker"]
    return components
