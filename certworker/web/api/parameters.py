"""
The parameters of queries and the body of a request: their schemas, and their values in a call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest, Forbidden, UnprocessableEntity, UnsupportedMediaType

from certworker.dashboard.names import LONGEST_CURSOR, MOST_NAMES_PER_PAGE, SORTS
from certworker.domains.normalize import MAX_TEXT_LENGTH
from certworker.renewal.domain_status import FAILURES, STATES
from certworker.state.domain_records import LONGEST_TENANT
from certworker.web.access import current_access
from certworker.web.api.models import MOST_NAMES, CertificateRequest, OwnCertificateRequest

_SPAN = re.compile(r"([0-9]{1,5})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@dataclass(frozen=True)
class Parameter:
    """
    A parameter of a query.
    """

    name: str
    description: str
    schema: dict[str, Any]
    #: Returns the value of a string. Raises ValueError for an invalid string.
    parse: Callable[[str], Any]


def _text(longest: int) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if len(text) > longest:
            raise ValueError(f"it has more than {longest} characters")
        return text

    return parse


def _one_of(values: Sequence[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"it is not one of {', '.join(values)}")
        return text

    return parse


def _limit(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text) or int(text) > MOST_NAMES_PER_PAGE:
        raise ValueError(f"it is not a number from 1 to {MOST_NAMES_PER_PAGE}")
    return int(text)


def _span(text: str) -> timedelta:
    if not (found := _SPAN.fullmatch(text)):
        raise ValueError("it is not a time span such as 7d, 12h or 30m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


_ISSUER = 200

SEARCH = (
    Parameter("text", "A part of the name.", {"type": "string", "maxLength": 253}, _text(253)),
    Parameter(
        "state",
        "A state or a detail.",
        {"type": "string", "enum": [*STATES, *FAILURES]},
        _one_of((*STATES, *FAILURES)),
    ),
    Parameter(
        "tenant",
        "The tenant of the names. A token of a tenant sees only the names of this tenant.",
        {"type": "string", "maxLength": LONGEST_TENANT},
        _text(LONGEST_TENANT),
    ),
    Parameter(
        "issuer",
        "The `issuer` or the `authority` of the certificate.",
        {"type": "string", "maxLength": _ISSUER},
        _text(_ISSUER),
    ),
    Parameter(
        "due",
        "Only certificates whose renewal is due within this time, such as 7d, 12h or 30m.",
        {"type": "string", "pattern": f"^{_SPAN.pattern}$"},
        _span,
    ),
    Parameter(
        "sort",
        "The order: names to fix first, by the expiry of the certificate, or by name.",
        {"type": "string", "enum": list(SORTS), "default": SORTS[0]},
        _one_of(SORTS),
    ),
    Parameter(
        "cursor",
        "The `next_cursor` of the previous page.",
        {"type": "string", "maxLength": LONGEST_CURSOR},
        _text(LONGEST_CURSOR),
    ),
    Parameter(
        "limit",
        "The maximum number of names on a page.",
        {"type": "integer", "minimum": 1, "maximum": MOST_NAMES_PER_PAGE, "default": 50},
        _limit,
    ),
)


def query_values(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """
    Return the values in the query of the current request.

    Raises:
        BadRequest: A parameter is unknown, repeated or invalid.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values = {}
    for name, texts in request.args.lists():
        if name not in known:
            names = ", ".join(known) or "none"
            raise BadRequest(f"The parameter {name[:50]!r} is unknown. The parameters are: {names}.")
        if len(texts) > 1:
            raise BadRequest(f"The parameter {name} is repeated.")
        try:
            values[name] = known[name].parse(texts[0])
        except ValueError as error:
            raise BadRequest(f"The parameter {name} is invalid: {error}.") from error
    return values


def requested_certificates() -> CertificateRequest:
    """
    Return the request for certificates in the body of the current request.

    Raises:
        UnsupportedMediaType: The content type is not that of JSON.
        RequestEntityTooLarge: The body is too large.
        BadRequest: The body is not JSON, or is nested too deeply.
        UnprocessableEntity: The JSON has other fields or values.
    """
    body = _json_body()
    if not isinstance(body, dict) or not body.keys() <= {"names", "together", "tenant"}:
        raise UnprocessableEntity(
            "The body must be an object with names, and optionally together and tenant."
        )
    names, together, tenant = body.get("names"), body.get("together", False), body.get("tenant")
    if not isinstance(names, list) or not 1 <= len(names) <= MOST_NAMES:
        raise UnprocessableEntity(f"The field names must be a list of 1 to {MOST_NAMES} names.")
    if not all(isinstance(name, str) and len(name) <= MAX_TEXT_LENGTH for name in names):
        raise UnprocessableEntity(f"Each name must be a string of at most {MAX_TEXT_LENGTH:,} characters.")
    if not isinstance(together, bool):
        raise UnprocessableEntity("The field together must be true or false.")
    if tenant is not None and not _is_tenant(tenant):
        raise UnprocessableEntity(
            f"The field tenant must be a string of 1 to {LONGEST_TENANT} printable characters."
        )
    return CertificateRequest(tuple(names), together, tenant)


def own_certificate() -> OwnCertificateRequest:
    """
    Return the certificate in the body of the current request. No error contains a part of the body.

    Raises:
        UnsupportedMediaType: The content type is not that of JSON.
        RequestEntityTooLarge: The body is too large.
        BadRequest: The body is not JSON, or is nested too deeply.
        UnprocessableEntity: The JSON has other fields or values.
    """
    body = _json_body()
    strings, force = ("certificate", "key", "chain"), "force"
    if not isinstance(body, dict) or not {"certificate", "key"} <= body.keys() <= {*strings, force}:
        raise UnprocessableEntity(
            "The body must be an object with certificate and key, and optionally chain and force."
        )
    for field in strings:
        if not isinstance(body.get(field, ""), str):
            raise UnprocessableEntity(f"The field {field} must be a string.")
    if not isinstance(body.get(force, False), bool):
        raise UnprocessableEntity("The field force must be true or false.")
    return OwnCertificateRequest(**body)


def _json_body() -> Any:
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the request as JSON, with Content-Type: application/json.")
    try:
        return request.get_json()
    except BadRequest as error:
        raise BadRequest("The body is not JSON.") from error
    except RecursionError as error:
        raise BadRequest("The body is nested too deeply.") from error


def require_no_tenant() -> None:
    """
    Refuse a token of a tenant, and any parameter of the query.

    Raises:
        Forbidden: The token belongs to a tenant.
        BadRequest: The call has a parameter.
    """
    query_values(())
    if current_access().tenant is not None:
        raise Forbidden("A token of a tenant sees only the names of this tenant.")


def _is_tenant(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= LONGEST_TENANT and value.isprintable()
