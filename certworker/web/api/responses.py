"""
The responses of the API: JSON, and problem documents for all failures.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from flask import Response, current_app
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException

from certworker.dashboard.documents import document
from certworker.dashboard.names import NotReady
from certworker.errors import CertworkerError, printable
from certworker.errors.pages import reference_of
from certworker.redis.failures import address_of, to_failure
from certworker.web.api.models import Context
from certworker.web.components import WebComponents
from certworker.web.problems import BLANK, problem

#: The status of a failure, by the beginning of its code. Any other failure gets 500.
STATUSES = {
    # A job is running for the name, or the name has a certificate that must not be replaced.
    "lock.": HTTPStatus.CONFLICT,
    "import.replaces_issued": HTTPStatus.CONFLICT,
    # The worker could not read the files of this process.
    "import.wrong_user": HTTPStatus.INTERNAL_SERVER_ERROR,
    "import.": HTTPStatus.UNPROCESSABLE_ENTITY,
    "name.": HTTPStatus.UNPROCESSABLE_ENTITY,
    "payload.": HTTPStatus.UNPROCESSABLE_ENTITY,
    "redis.": HTTPStatus.SERVICE_UNAVAILABLE,
    # Another server does not answer, or refuses the request.
    "dns": HTTPStatus.BAD_GATEWAY,
    "net.": HTTPStatus.BAD_GATEWAY,
    "ca.": HTTPStatus.BAD_GATEWAY,
    "caa.": HTTPStatus.BAD_GATEWAY,
    "acme.": HTTPStatus.BAD_GATEWAY,
}

#: The details of failures for which werkzeug has only a sentence for users of browsers.
DETAILS = {
    HTTPStatus.NOT_FOUND: "There is nothing at this path.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The log of certworker has the reason.",
}

#: The seconds after which a client may try again if Redis, the list of names or a free place is missing.
RETRY_AFTER_SECONDS = 5


class NotKnown(Exception):
    """
    A name is unknown, or belongs to another tenant. The response is the same in both cases.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Busy(Exception):
    """
    All places for a kind of call are taken. The message is a sentence.
    """


def components() -> WebComponents:
    """
    Return the components of the running application.
    """
    found = current_app.extensions["certworker"]
    assert isinstance(found, WebComponents)  # noqa: S101 (the extensions of Flask have no types)
    return found


def context() -> Context:
    """
    Return what the documents of the current request need.
    """
    sources = components().sources
    return Context(sources.clock(), sources.settings.docs_url)


def json_response(value: object, status: int = HTTPStatus.OK) -> Response:
    """
    Return *value*, a dataclass, as JSON.
    """
    text = json.dumps(document(value), ensure_ascii=False)
    return Response(f"{text}\n", status, content_type="application/json")


def failure_response(error: Exception) -> Response:
    """
    Return the problem document of *error*: of this module, of the index, of Redis or of the catalog.
    """
    if isinstance(error, NotKnown):
        return _problem(HTTPStatus.NOT_FOUND, f"The name {printable(error.name, 253)} is unknown here.")
    if isinstance(error, NotReady):
        return _later(_problem(HTTPStatus.SERVICE_UNAVAILABLE, "The list of names is being prepared."))
    if isinstance(error, Busy):
        return _later(_problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)))
    if isinstance(error, RedisError):
        error = to_failure(error, address_of(components().sources.connection))
    assert isinstance(error, CertworkerError)  # noqa: S101 (the routes name these classes only)
    return _of_failure(error)


def http_error_response(error: HTTPException) -> Response:
    """
    Return the problem document of *error*, such as an invalid parameter or an unknown path.
    """
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    detail = error.description
    if detail == type(error).description:
        detail = DETAILS.get(status, detail)
    response = _problem(status, printable(detail or ""))
    # Some failures have headers, such as Allow. The headers of the body describe HTML, and are not copied.
    for name, value in error.get_headers():
        response.headers.setdefault(name, value)
    return response


def too_many_calls(seconds: int) -> Response:
    """
    Return the response to a call over the limit, which may be repeated after *seconds*.
    """
    response = _problem(HTTPStatus.TOO_MANY_REQUESTS, "The caller sent too many calls.")
    response.headers["Retry-After"] = str(seconds)
    return response


def _of_failure(failure: CertworkerError) -> Response:
    status = next(
        (status for prefix, status in STATUSES.items() if failure.code.startswith(prefix)),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    page = reference_of(failure.code, components().sources.settings.docs_url)
    response = problem(
        status,
        status.phrase,
        failure.message,
        kind=page if page.startswith("http") else BLANK,
        code=failure.code,
        remedy=failure.remedy,
    )
    return _later(response) if status is HTTPStatus.SERVICE_UNAVAILABLE else response


def _problem(status: HTTPStatus, detail: str) -> Response:
    return problem(status, status.phrase, detail)


def _later(response: Response) -> Response:
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
