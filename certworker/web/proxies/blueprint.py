"""
The routes for proxies.
"""

from __future__ import annotations

import gzip
from http import HTTPStatus

from flask import Blueprint, Response, request
from redis.exceptions import RedisError
from werkzeug.exceptions import BadRequest

from certworker.errors import CertworkerError
from certworker.web.access import Refused, allowed, current_access
from certworker.web.api.proxy_calls import PREFIX
from certworker.web.api.responses import components, failure_response
from certworker.web.problems import problem
from certworker.web.proxies.callers import Callers
from certworker.web.proxies.certificate import key_pair_for, name_in
from certworker.web.proxies.permission import Permission, TooManyUnknownNames, Verdict
from certworker.web.proxies.platform import PlatformUnavailable
from certworker.web.proxies.traefik import TooManyNames, TraefikConfiguration

PEM_TYPE = "application/x-pem-file"

#: The ways to serve more names than Traefik can read.
OTHER_WAYS = (
    "Configure Traefik's file provider instead, replace names with a wildcard, or terminate TLS with Caddy "
    "or HAProxy."
)

RETRY_AFTER_SECONDS = 1


class ProxyRoutes:
    """
    The views of the routes, and what they remember between two calls.
    """

    def __init__(self) -> None:
        self.callers = Callers()
        self._configuration = TraefikConfiguration()
        self._permission = Permission()

    def get_traefik(self) -> Response:
        """
        Return the dynamic configuration for Traefik's HTTP provider.
        """
        current = self._configuration.current(components().sources.certificates)
        self.callers.log_delivery(f"every certificate ({current.count})", current.version)
        if request.accept_encodings.quality("gzip") > 0:
            response = Response(current.compressed, content_type="application/json")
            response.headers["Content-Encoding"] = "gzip"
        else:
            response = Response(gzip.decompress(current.compressed), content_type="application/json")
        response.headers["Vary"] = "Accept-Encoding"
        return response

    def get_certificate(self) -> Response:
        """
        Return the certificate, its chain and its key for a server name.

        Without one, optionally request a certificate for an allowed name.
        """
        # A client that visits an IP address sends no server name (RFC 6066, section 3).
        text = _value_of("server_name") or request.args.get("local_ip", "")
        is_404 = _is_set("missing", "404")
        name = name_in(text)
        if name and (pair := key_pair_for(components().sources.certificates, name)):
            self.callers.log_delivery(pair.name, pair.version)
            return Response(pair.chain + pair.key, content_type=PEM_TYPE)
        if _is_set("request", "true") and self._verdict(text) == "allowed":
            self._request(text)
        if is_404:
            return problem(HTTPStatus.NOT_FOUND, "No certificate", "There is no certificate for the name.")
        return Response(status=HTTPStatus.NO_CONTENT)

    def ask(self) -> Response:
        """
        Return 200 if a proxy may serve a name, otherwise 404.

        Optionally, request a certificate for an allowed name.
        """
        if current_access().tenant is not None:
            raise Refused(403, "A token of a tenant may not do this.", "Use a token without a tenant.")
        text = _value_of("domain", "host")
        is_request = _is_set("request", "true")
        verdict = self._verdict(text)
        if verdict == "unknown":
            return problem(
                HTTPStatus.NOT_FOUND, "Unknown name", "The name is unknown, and no rule allows it."
            )
        if verdict == "allowed" and is_request:
            self._request(text)
        return Response(f"{verdict}\n", content_type="text/plain")

    def _verdict(self, text: str) -> Verdict:
        return self._permission.check(components().sources, text, self.callers.label)

    def _request(self, text: str) -> None:
        access = current_access()
        if not (access.may("proxy") or access.may("operate")):
            raise Refused(
                403, "The token may not request certificates.", "Use a token with the role proxy or operate."
            )
        by = access.identity
        if self._permission.request(components().actions, text, self.callers.label, by=by):
            self.callers.log_request(text)


def blueprint() -> Blueprint:
    """
    Return the routes for proxies.
    """
    found, routes = Blueprint("proxies", __name__, url_prefix=PREFIX), ProxyRoutes()
    found.before_request(routes.callers.check)
    found.add_url_rule("/traefik", "get_traefik", allowed("proxy")(routes.get_traefik))
    found.add_url_rule("/certificate", "get_certificate", allowed("proxy")(routes.get_certificate))
    # The response contains no key, so the role read is enough. Caddy writes the URL of this call, with the
    # token, to its debug log.
    found.add_url_rule("/ask", "ask", allowed("proxy", "read")(routes.ask))
    found.register_error_handler(TooManyNames, _too_many_names)
    found.register_error_handler(TooManyUnknownNames, _too_many_unknown_names)
    found.register_error_handler(PlatformUnavailable, _platform_unavailable)
    for failure in (RedisError, CertworkerError):
        found.register_error_handler(failure, failure_response)
    return found


def _value_of(*names: str) -> str:
    """
    Return the value of the parameter with one of *names*. Proxies add other parameters, which are ignored.

    Raises:
        BadRequest: There is none, or there are several.
    """
    values = [value for name in names for value in request.args.getlist(name)]
    if len(values) != 1:
        raise BadRequest(f"The call needs exactly one parameter {' or '.join(names)}.")
    return values[0]


def _is_set(name: str, value: str) -> bool:
    """
    Return whether the optional parameter *name* has *value*, its only valid value.

    Raises:
        BadRequest: It has another value, or several.
    """
    if not (given := request.args.getlist(name)):
        return False
    if given != [value]:
        raise BadRequest(f"The only valid value of the parameter {name} is {value}.")
    return True


def _too_many_names(error: TooManyNames) -> Response:
    return problem(HTTPStatus.CONFLICT, "Too many names", str(error), remedy=OTHER_WAYS)


def _too_many_unknown_names(error: TooManyUnknownNames) -> Response:
    response = problem(HTTPStatus.TOO_MANY_REQUESTS, "Too many new names", str(error))
    response.headers["Retry-After"] = str(error.seconds)
    return response


def _platform_unavailable(error: PlatformUnavailable) -> Response:
    response = problem(HTTPStatus.SERVICE_UNAVAILABLE, "The platform is unavailable", str(error))
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
