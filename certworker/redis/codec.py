"""
Encodes and decodes the values in Redis.

Every program with access to Redis can write any value. So the functions that decode numbers, times, names,
and JSON check each value, and :func:`shown_in` makes a string printable. An invalid value counts as lost.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import NoReturn

from certworker.domains import is_name
from certworker.errors import printable

#: The maximum number of characters of a string. The longest is a remedy with a link of 4,000 characters.
LONGEST_TEXT = 6_000
#: The maximum number of bytes or characters of JSON. The longest JSON of certworker has 100 names of full
#: length.
LARGEST_JSON = 64 * 1024
#: The maximum number of digits of a count. One attempt a minute for a year is a number of six digits.
MOST_DIGITS = 6
#: The maximum number of names in one certificate.
MOST_NAMES = 100

#: The limits of times. Adding a year to a time within these limits does not overflow.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9998, 12, 31, tzinfo=UTC)


def decode_text(value: bytes | str | None) -> str:
    """
    Return *value* as text that UTF-8 can encode, with invalid parts replaced; an empty string for None.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return (value or "").encode("utf-8", "replace").decode()


def shown_in(value: object, longest: int = LONGEST_TEXT) -> str:
    """
    Return the string or bytes *value* as one printable line of at most *longest* characters.

    Return an empty string for a value of any other type.
    """
    return printable(decode_text(value), longest) if isinstance(value, bytes | str) else ""


def count_in(value: object) -> int:
    """
    Return the count in *value*, an integer or its digits; 0 if it is invalid or has more than 6 digits.
    """
    if isinstance(value, bytes):
        value = decode_text(value)
    if isinstance(value, str) and len(value) <= MOST_DIGITS and value.isascii() and value.isdecimal():
        return int(value)
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**MOST_DIGITS
    return int(value) if is_count and isinstance(value, int) else 0


def name_in(value: object) -> str | None:
    """
    Return *value* as a string if it is a normalized name, else None.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode("ascii")
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) and is_name(value) else None


def names_in(value: object) -> tuple[str, ...] | None:
    """
    Return the names in *value*, a list of 1 to 100 normalized names, or None if it is invalid.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_NAMES:
        return None
    names = tuple(name for each in value if (name := name_in(each)))
    return names if len(names) == len(value) else None


def json_in(value: bytes | str | None) -> object:
    """
    Return the value of the JSON in *value*.

    Return None if *value* is missing, too large, nested too deeply, or invalid (NaN, for example).
    """
    if value is None or len(value) > LARGEST_JSON:
        return None
    try:
        return json.loads(decode_text(value), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


@lru_cache(maxsize=128)
def names_in_json(text: str) -> tuple[str, ...] | None:
    """
    Return the names in the JSON *text*, as for :func:`names_in`.

    The records of all names of a certificate have the same text, which is parsed once.
    """
    return names_in(json_in(text))


def fields_in(value: bytes | str | None) -> dict[str, object]:
    """
    Return the JSON object in *value*; an empty one if *value* is missing, invalid, or JSON of another type.
    """
    found = json_in(value)
    return found if isinstance(found, dict) else {}


def encode_time(moment: datetime | None) -> str:
    """
    Return *moment* as text in UTC, such as `2026-11-23T10:15:09Z`, or an empty string for None.
    """
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment else ""


def decode_time(text: object) -> datetime | None:
    """
    Return the time in *text*, converted to UTC; None if it is invalid or has no time zone.

    A time outside the limits counts as the closer limit.
    """
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        return min(max(moment.astimezone(UTC), EARLIEST), LATEST) if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def score_to_time(score: object) -> datetime | None:
    """
    Return the time of a sorted set's *score* (seconds since 1970), or None if it is invalid or after 9998.

    A time before 1970 counts as 1970.
    """
    if not isinstance(score, int | float) or math.isnan(score) or score > LATEST.timestamp():
        return None
    return datetime.fromtimestamp(max(score, 0), UTC)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("too large a number")
    return number
