"""
Tests of the schemas of dataclasses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

import pytest

from certworker.web.api.schemas import Length, components


@dataclass(frozen=True)
class Part:
    """
    A part of
    another value.
    """

    #: The time
    #: of the part.
    at: datetime | None


@dataclass(frozen=True)
class Whole(Part):
    """
    A value with all types.
    """

    parts: tuple[Part, ...]
    #: A word.
    word: Literal["a", "b"]
    span: timedelta
    counts: Mapping[str, int]
    names: Annotated[tuple[str, ...], Length(1, 9)]
    text: Annotated[str, Length(0, 5)] | None
    optional: bool = False


@dataclass(frozen=True)
class Unknown:
    """
    A value with a type that JSON does not have.
    """

    data: bytes


class TestComponents:
    def test_each_type_has_its_schema(self) -> None:
        """
        The schema has each field with its type, its comment, and whether it is required.
        """
        found = components([Whole])

        assert ["Part", "Whole"] == list(found)
        assert "A part of another value." == found["Part"]["description"]
        assert found["Whole"]["properties"] == {
            "at": {
                "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
                "description": "The time of the part.",
            },
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
            "word": {"type": "string", "enum": ["a", "b"], "description": "A word."},
            "span": {"type": "integer", "description": "Seconds."},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "names": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 9},
            "text": {"anyOf": [{"type": "string", "minLength": 0, "maxLength": 5}, {"type": "null"}]},
            "optional": {"type": "boolean"},
        }
        assert ["at", "parts", "word", "span", "counts", "names", "text"] == found["Whole"]["required"]

    def test_an_unknown_type_is_an_error(self) -> None:
        """
        A type that JSON does not have is an error of the programmer.
        """
        with pytest.raises(TypeError, match="bytes"):
            components([Unknown])
