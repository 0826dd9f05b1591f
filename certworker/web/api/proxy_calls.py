"""
The routes for proxies in the OpenAPI document. They are outside `/api/v1`.
"""

from __future__ import annotations

from typing import Any

from certworker.web.api.schemas import Schema

PREFIX = "/proxies"

_NAME = {"type": "string", "maxLength": 1024}
_REQUEST = (
    "request",
    "`true`: also request a certificate for an allowed name that has none.",
    {"type": "string", "enum": ["true"]},
)

#: The path, the summary, the description, the parameters, and the content type of each successful response.
_CALLS: tuple[tuple[str, str, str, tuple[tuple[str, str, Schema], ...], dict[str, str]], ...] = (
    (
        "/traefik",
        "Return the dynamic configuration for Traefik's HTTP provider.",
        "Needs the role proxy. 409: the volume has too many names.",
        (),
        {"200": "application/json"},
    ),
    (
        "/certificate",
        "Return the certificate, its chain and its key for a server name.",
        "Needs the role proxy. 204: there is no certificate for the name.",
        (
            ("server_name", "The name of the TLS handshake. It is required, and may be empty.", _NAME),
            ("local_ip", "The IP address that the client connected to. It replaces an empty name.", _NAME),
            ("missing", "`404`: the status is 404 instead of 204.", {"type": "string", "enum": ["404"]}),
            _REQUEST,
        ),
        {"200": "application/x-pem-file", "204": ""},
    ),
    (
        "/ask",
        "Return whether a proxy may serve a name.",
        (
            "Needs the role read or proxy; with request, operate or proxy. A token of a tenant gets 403. "
            "404: the name is unknown, and no rule allows it."
        ),
        (
            ("domain", "The name. Either domain or host is required.", _NAME),
            ("host", "The name. Either domain or host is required.", _NAME),
            _REQUEST,
        ),
        {"200": "text/plain"},
    ),
)

_FAILURES = {
    "400": "BadRequest",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "NotFound",
    "409": "Conflict",
    "429": "TooManyRequests",
    "500": "InternalServerError",
    "503": "ServiceUnavailable",
}


def proxy_paths(root: str) -> dict[str, dict[str, Any]]:
    """
    Return the paths of the routes for proxies, each with its server: the page, at the path *root*.
    """
    return {
        f"{PREFIX}{path}": {
            "get": {
                "operationId": f"proxy_{path.removeprefix('/')}",
                "summary": summary,
                "description": description,
                "servers": [{"url": root or "/"}],
                "security": [{"token": []}, {"password": []}],
                **({"parameters": [_parameter(*each) for each in parameters]} if parameters else {}),
                "responses": {
                    **{status: _success(kind) for status, kind in responses.items()},
                    **{
                        status: {"$ref": f"#/components/responses/{key}"} for status, key in _FAILURES.items()
                    },
                },
            }
        }
        for path, summary, description, parameters, responses in _CALLS
    }


def _parameter(name: str, description: str, schema: Schema) -> dict[str, Any]:
    is_required = name == "server_name"
    return {
        "name": name,
        "in": "query",
        "required": is_required,
        "description": description,
        "schema": schema,
    }


def _success(kind: str) -> dict[str, Any]:
    content = {"content": {kind: {"schema": {"type": "string"}}}} if kind else {}
    return {"description": "The call succeeded.", **content}
