"""
The formats of a message: utopia-php/queue and php-resque.

Messages are untrusted. Their size is checked before parsing. Each field must have the right type: many
languages treat the text "false" as true.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from certworker.errors.payload import (
    PayloadAction,
    PayloadMissing,
    PayloadNotJson,
    PayloadTooLarge,
    PayloadType,
)
from certworker.worker.payload import LARGEST, read_json

Action = Literal["generation", "verification"]
ACTIONS: tuple[Action, ...] = ("generation", "verification")

#: The class of the worker in php-resque.
RESQUE_CLASS = "CertificatesV1"


@dataclass(frozen=True)
class Message:
    """
    A request of Appwrite's core.
    """

    #: Not checked yet.
    domain: str
    action: Action = "generation"
    #: Issue even if the certificate in service is not due.
    force: bool = False
    #: certworker does not verify a domain that equals this one.
    validation_domain: str | None = None


def read_utopia(raw: bytes) -> Message:
    """
    Return the request in *raw*, a message of utopia-php/queue (Appwrite 1.3 and later).

    Raises:
        PayloadFailure: It is not a valid message.
    """
    payload = _object(_parsed(raw), "payload")
    if payload is None:
        raise PayloadMissing
    return _request(payload, _domain_of(payload))


def read_resque(raw: bytes) -> Message:
    """
    Return the request in *raw*, a message of php-resque (Appwrite 1.2 and earlier).

    Raises:
        PayloadFailure: It is not a valid message.
    """
    document = _parsed(raw)
    if document.get("class") != RESQUE_CLASS:
        raise PayloadType(field="class", wanted=RESQUE_CLASS)
    arguments = document.get("args")
    if not (isinstance(arguments, list) and len(arguments) == 1 and isinstance(arguments[0], dict)):
        raise PayloadType(field="args", wanted="a list with one object")
    return _request(arguments[0], arguments[0].get("domain"))


def _parsed(raw: bytes) -> dict[str, Any]:
    if len(raw) > LARGEST:
        raise PayloadTooLarge(size=f"{len(raw)} bytes", limit=LARGEST, beginning=raw[:80])
    document = read_json(raw)
    if not isinstance(document, dict):
        raise PayloadNotJson(reason="it is not an object")
    return cast("dict[str, Any]", document)


def _domain_of(payload: Mapping[str, Any]) -> object:
    # Appwrite sends the whole document of the domain. Only one attribute is needed.
    document = _object(payload, "domain")
    return document.get("domain") if document is not None else None


def _request(payload: Mapping[str, Any], domain: object) -> Message:
    if domain is None or domain == "":
        raise PayloadMissing
    if not isinstance(domain, str):
        raise PayloadType(field="domain", wanted="a string")
    # Appwrite 1.7 and earlier send neither action nor validationDomain; null means the default.
    action = payload.get("action")
    known = next((each for each in ACTIONS if action in (each, None)), None)
    if known is None:
        raise PayloadAction(action=json.dumps(action), known=", ".join(ACTIONS))
    force = payload.get("skipRenewCheck")
    if not isinstance(force, bool | None):
        raise PayloadType(field="skipRenewCheck", wanted="true or false")
    validation_domain = payload.get("validationDomain")
    if not isinstance(validation_domain, str | None):
        raise PayloadType(field="validationDomain", wanted="a string or null")
    return Message(domain, known, force is True, validation_domain)


def _object(parent: Mapping[str, Any], field: str) -> dict[str, Any] | None:
    value = parent.get(field)
    if not isinstance(value, dict | None):
        raise PayloadType(field=field, wanted="an object")
    return value
