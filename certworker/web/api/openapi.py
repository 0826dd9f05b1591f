"""
The OpenAPI 3.1 document, from the table of operations.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from certworker.web.api.models import Problem
from certworker.web.api.operations import OPERATIONS, Operation
from certworker.web.api.proxy_calls import proxy_paths
from certworker.web.api.schemas import Schema, components, reference
from certworker.web.problems import CONTENT_TYPE

#: The version of the API. A later version gets another path.
VERSION = "1"

#: The failures of calls, each with a problem document.
FAILURES = {
    HTTPStatus.BAD_REQUEST: "A parameter or the body is invalid.",
    HTTPStatus.UNAUTHORIZED: "A token is missing or wrong.",
    HTTPStatus.FORBIDDEN: "The token may not do this.",
    HTTPStatus.NOT_FOUND: "The name is unknown, belongs to another tenant, or has no certificate.",
    HTTPStatus.CONFLICT: (
        "Another job for the name is running. Or certworker renews the certificate in service, and force is "
        "false. Or the volume has too many names for Traefik."
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The Content-Type of the body is not application/json.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "A name or another value is invalid.",
    HTTPStatus.TOO_MANY_REQUESTS: (
        "Too many calls. The Retry-After header contains the number of seconds to wait."
    ),
    HTTPStatus.INTERNAL_SERVER_ERROR: "certworker or its environment failed. The log has the reason.",
    HTTPStatus.BAD_GATEWAY: "Another server, such as a name server, does not answer, or refuses the request.",
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "certworker cannot process the call now. For example, Redis or the platform does not answer, the "
        "list of names is being prepared, or the server is busy."
    ),
}
#: The statuses with which the HTTP server may also reject a request, in plain text, before the API gets it.
OF_THE_SERVER = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.SERVICE_UNAVAILABLE}

_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "A name, a wildcard or an IP address.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 1024},
}
_LAST_EVENT = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The id of the last event that the client has; the stream continues after it.",
    "schema": {"type": "string", "maxLength": 40},
}


def openapi(base: str = "/api/v1") -> dict[str, Any]:
    """
    Return the OpenAPI document of the API at the path *base*.
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    paths |= proxy_paths(base.removesuffix("/api/v1"))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "certworker",
            "version": VERSION,
            "description": "TLS certificates: state, requests and events.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": base}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components([Problem, *_kinds()]),
            "responses": {_key(status): _failure(status, text) for status, text in FAILURES.items()},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Create a token, for example: certworker token create --role read",
                },
                "password": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "For proxies: the password is the token.",
                },
            },
        },
    }


def _kinds() -> Iterator[type]:
    for operation in OPERATIONS:
        if isinstance(operation.response, type):
            yield operation.response
        if operation.body:
            yield operation.body


def _operation(operation: Operation) -> dict[str, Any]:
    tenants = "" if operation.for_tenants else " A token of a tenant gets 403."
    found: dict[str, Any] = {
        "operationId": operation.view.__name__,
        "summary": " ".join((inspect.getdoc(operation.view) or "").split()),
        "description": f"Needs the role {operation.role}.{tenants}",
        "responses": {str(int(status)): response for status, response in _responses(operation)},
    }
    if parameters := list(_parameters(operation)):
        found["parameters"] = parameters
    if operation.body:
        schema = {"schema": reference(operation.body)}
        found["requestBody"] = {"required": True, "content": {"application/json": schema}}
    return found


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if "{name}" in operation.path:
        yield _NAME
    for each in operation.query:
        yield {
            "name": each.name,
            "in": "query",
            "required": False,
            "description": each.description,
            "schema": each.schema,
        }
    if operation.response == "text/event-stream":
        yield _LAST_EVENT


def _responses(operation: Operation) -> Iterator[tuple[HTTPStatus, dict[str, Any]]]:
    content = operation.response
    if isinstance(content, type):
        yield operation.status, _response("The call succeeded.", "application/json", reference(content))
    else:
        yield operation.status, _response("The call succeeded.", content, {"type": "string"})
    for status in _failures(operation):
        yield status, {"$ref": f"#/components/responses/{_key(status)}"}


def _failures(operation: Operation) -> Iterator[HTTPStatus]:
    yield HTTPStatus.BAD_REQUEST
    yield HTTPStatus.UNAUTHORIZED
    yield HTTPStatus.FORBIDDEN
    if "{name}" in operation.path or operation.body:
        yield HTTPStatus.NOT_FOUND
    if operation.method == "PUT":
        yield HTTPStatus.CONFLICT
    if operation.body:
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        yield HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    if operation.body or operation.path.endswith("/records"):
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    yield HTTPStatus.TOO_MANY_REQUESTS
    yield HTTPStatus.INTERNAL_SERVER_ERROR
    if operation.path.endswith("/records"):
        yield HTTPStatus.BAD_GATEWAY
    yield HTTPStatus.SERVICE_UNAVAILABLE


def _failure(status: HTTPStatus, text: str) -> dict[str, Any]:
    found = _response(text, CONTENT_TYPE, reference(Problem))
    if status in OF_THE_SERVER:
        found["content"]["text/plain"] = {"schema": {"type": "string"}}
    return found


def _key(status: HTTPStatus) -> str:
    return status.phrase.replace(" ", "")


def _response(description: str, kind: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}
