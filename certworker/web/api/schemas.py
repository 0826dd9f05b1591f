"""
JSON Schemas of dataclasses, for the OpenAPI document.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

Schema = dict[str, Any]

_SIMPLE: Mapping[type, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    timedelta: {"type": "integer", "description": "Seconds."},
    NoneType: {"type": "null"},
}

_FIELD = re.compile(r"((?: *#:.*\n)+) *(\w+):")


@dataclass(frozen=True)
class Length:
    """
    The minimum and maximum number of items of a list or characters of a string, for `Annotated`.
    """

    least: int
    most: int


def reference(kind: type) -> Schema:
    """
    Return the reference to the schema of the dataclass *kind*.
    """
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def components(kinds: list[type]) -> dict[str, Schema]:
    """
    Return the schemas of the dataclasses *kinds*, and of all dataclasses in their fields, by name.
    """
    found: dict[str, Schema] = {}
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        if kind.__name__ not in found:
            found[kind.__name__] = _object(kind)
            hints = get_type_hints(kind)
            waiting += [each for field in fields(kind) for each in _dataclasses(hints[field.name])]
    return dict(sorted(found.items()))


def _object(kind: Any) -> Schema:
    hints, comments = get_type_hints(kind, include_extras=True), _comments(kind)
    properties = {
        field.name: _described(_schema(hints[field.name]), comments.get(field.name, ""))
        for field in fields(kind)
    }
    required = [field.name for field in fields(kind) if field.default is MISSING]
    return {
        "type": "object",
        "description": " ".join((inspect.getdoc(kind) or "").split()),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _schema(hint: Any) -> Schema:
    if hint in _SIMPLE:
        return dict(_SIMPLE[hint])
    if is_dataclass(hint) and isinstance(hint, type):
        return reference(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(_schema(arguments[0]), arguments[1])
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in (UnionType, Union):
        return {"anyOf": [_schema(each) for each in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    raise TypeError(f"the API has no schema for {hint}")


def _bounded(schema: Schema, length: Length) -> Schema:
    unit = "Items" if schema["type"] == "array" else "Length"
    return schema | {f"min{unit}": length.least, f"max{unit}": length.most}


def _described(schema: Schema, comment: str) -> Schema:
    return schema | {"description": comment} if comment else schema


def _dataclasses(hint: Any) -> Iterator[type]:
    if is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for each in get_args(hint):
        yield from _dataclasses(each)


@cache
def _comments(kind: type) -> Mapping[str, str]:
    """
    Return the `#:` comments of the fields of *kind* and of its base classes.
    """
    found: dict[str, str] = {}
    for each in reversed([each for each in kind.__mro__ if is_dataclass(each)]):
        for comment, name in _FIELD.findall(inspect.getsource(each)):
            found[name] = " ".join(re.sub(r" *#:", "", comment).split())
    return found
