"""
Which names the CA certifies.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

from certworker.devca.problems import Refused

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_NAME = 253


def requested_names(fields: dict[str, Any]) -> tuple[str, ...]:
    """
    The names in the identifiers of an order (RFC 8555, section 7.1.3; RFC 8738), each once.

    Raises:
        Refused: ``malformed``, ``unsupportedIdentifier`` or ``rejectedIdentifier``.
    """
    identifiers = fields.get("identifiers")
    if not isinstance(identifiers, list) or not identifiers:
        raise Refused("malformed", "An order needs identifiers.")
    return tuple(dict.fromkeys(_name(each) for each in identifiers))


def _name(identifier: Any) -> str:
    if not isinstance(identifier, dict) or not isinstance(identifier.get("value"), str):
        raise Refused("malformed", "An identifier needs a type and a value.")
    value: str = identifier["value"]
    if identifier.get("type") == "ip":
        return _address(value)
    if identifier.get("type") != "dns":
        raise Refused("unsupportedIdentifier", "The types of identifiers are dns and ip.")
    name = value.lower()
    if len(name) > LONGEST_NAME or not all(LABEL.fullmatch(label) for label in name.split(".")):
        raise Refused("rejectedIdentifier", f"{value!r} is not a name that HTTP-01 can validate.")
    if name.rpartition(".")[2].isdigit():
        raise Refused("rejectedIdentifier", f"{value!r} is an address, not a name.")
    return name


def _address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError as error:
        raise Refused("rejectedIdentifier", f"{value!r} is not an address.") from error
