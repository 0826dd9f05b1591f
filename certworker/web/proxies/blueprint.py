"""
The routes for proxies.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from http import HTTPStatus

from flask import Blueprint, Response, request
from redis.exceptions import RedisError
from werkzeug.exceptions import BadRequest

from certworker.errors import CertworkerError
from certworker.web.access import allowed
from certworker.web.api.responses import components, failure_response
from certworker.web.problems import problem
from certworker.web.proxies.callers import Callers
from certworker.web.proxies.certificate import key_pair_for, name_in
from certworker.web.proxies.traefik import TooManyNames, TraefikConfiguration

PREFIX = "/proxies"

PEM_TYPE = "application/x-pem-file"

#: The way for more names than Traefik can read.
OTHER_WAYS = (
    "Let Traefik read the volume with its file provider, or order fewer certificates with wildcards or "
    "--together, or let Caddy or HAProxy terminate TLS."
)


def blueprint() -> Blueprint:
    """
    Return the routes for proxies.
    """
    found = Blueprint("proxies", __name__, url_prefix=PREFIX)
    callers, configuration = Callers(), TraefikConfiguration()
    found.before_request(callers.check)

    @allowed("proxy")
    def get_traefik() -> Response:
        """
        Return the dynamic configuration for Traefik's HTTP provider.
        """
        current = configuration.current(components().sources.certificates)
        callers.log_delivery(f"{current.count} certificates", current.version)
        if request.accept_encodings.quality("gzip") > 0:
            response = Response(current.compressed, content_type="application/json")
            response.headers["Content-Encoding"] = "gzip"
        else:
            response = Response(gzip.decompress(current.compressed), content_type="application/json")
        response.headers["Vary"] = "Accept-Encoding"
        return response

    @allowed("proxy")
    def get_certificate() -> Response:
        """
        Return the certificate, its chain and its key for a server name.
        """
        # A client that visits an IP address sends no server name (RFC 6066, section 3).
        text = parameter(("server_name",)) or request.args.get("local_ip", "")
        name = name_in(text)
        pair = key_pair_for(components().sources.certificates, name) if name else None
        if pair is None:
            return Response(status=HTTPStatus.NO_CONTENT)
        callers.log_delivery(pair.name, pair.version)
        return Response(pair.chain + pair.key, content_type=PEM_TYPE)

    found.add_url_rule("/traefik", "get_traefik", get_traefik)
    found.add_url_rule("/certificate", "get_certificate", get_certificate)
    found.register_error_handler(TooManyNames, _too_many_names)
    for failure in (RedisError, CertworkerError):
        found.register_error_handler(failure, failure_response)
    return found


def parameter(names: Iterable[str]) -> str:
    """
    Return the value of the parameter with one of *names*. Proxies add other parameters, which are ignored.

    Raises:
        BadRequest: There is none, or there are several.
    """
    values = [value for name in names for value in request.args.getlist(name)]
    if len(values) != 1:
        raise BadRequest(f"The call has exactly one parameter: {' or '.join(names)}.")
    return values[0]


def _too_many_names(error: TooManyNames) -> Response:
    return problem(HTTPStatus.CONFLICT, "Too many names", str(error), remedy=OTHER_WAYS)
