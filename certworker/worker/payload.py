"""
Reads the data of a job: the JSON list `[function, null, [arguments], {keyword arguments}]`.

Every program with access to Redis can write the data. Its size is checked before and while it is unpacked,
and nothing that it names is imported.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from certworker.errors.payload import (
    PayloadDuplicateKey,
    PayloadEncoding,
    PayloadNotJson,
    PayloadPickled,
    PayloadTooLarge,
)
from certworker.errors.worker import BadJob
from certworker.worker.producer import ISSUE

#: The maximum size of the data in bytes, compressed or not. A request for a hundred names of full length has
#: 26 KiB.
LARGEST = 64 * 1024

#: The maximum depth of nested lists and objects. A call has three levels. Python's own limit depends on its
#: version.
DEEPEST = 32

#: Keywords of earlier versions of the wire format, with their current names.
RENAMED = {"i_know": "use_full_quota"}

#: The beginning of a pickle of protocol 2 or later. No text in UTF-8 begins like that.
PICKLE = re.compile(rb"\x80[\x02-\x0f]")


@dataclass(frozen=True)
class Call:
    """
    The function call that a job requests.
    """

    function: str
    arguments: list[Any]
    keywords: dict[str, Any]


def read_call(data: bytes) -> Call:
    """
    Return the call in *data*, which may be compressed.

    The keyword `i_know` of earlier versions becomes `use_full_quota`.

    Raises:
        PayloadFailure: *data* is too large, a pickle, or not valid JSON in UTF-8, or has a key twice.
        BadJob: *data* is JSON, but not a call.
    """
    text = _unpacked(data)
    if PICKLE.match(text):
        raise PayloadPickled
    call = read_json(text)
    if not isinstance(call, list) or len(call) != 4:
        raise BadJob(reason="its data is not a list of four parts")
    function, instance, arguments, keywords = call
    if instance is not None:
        raise BadJob(reason="it names an instance, and only functions are registered")
    if not (isinstance(function, str) and isinstance(arguments, list) and isinstance(keywords, dict)):
        raise BadJob(reason="its data is not a name, null, a list, and an object")
    for former, current in RENAMED.items():
        if function == ISSUE and former in keywords and current not in keywords:
            keywords[current] = keywords.pop(former)
    return Call(function, arguments, keywords)


def read_json(data: bytes) -> object:
    """
    Return the value in *data*, JSON in UTF-8.

    Raises:
        PayloadEncoding, PayloadNotJson, PayloadDuplicateKey: *data* is not valid.
    """
    try:
        value: object = json.loads(
            data.decode(), object_pairs_hook=_each_key_once, parse_constant=_no_such_number
        )
        _check_depth(value)
        json.dumps(value, ensure_ascii=False).encode()  # fails for a lone surrogate
    except UnicodeError:
        raise PayloadEncoding from None
    except RecursionError:
        raise PayloadNotJson(reason="it is nested too deeply") from None
    except ValueError as error:
        raise PayloadNotJson(reason=error) from None
    return value


def _unpacked(data: bytes) -> bytes:
    if len(data) > LARGEST:
        raise PayloadTooLarge(size=f"{len(data)} bytes", limit=LARGEST, beginning=data[:80])
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(data, LARGEST + 1)
    except zlib.error:
        return data  # RQ also accepts uncompressed text
    if len(text) > LARGEST:
        raise PayloadTooLarge(size=f"more than {LARGEST} bytes", limit=LARGEST, beginning=text[:80])
    return text


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _parts(outer)]
    if any(isinstance(each, list | dict) for each in level):
        raise RecursionError


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Python would use the last value, but a reader of the log may see only the first.
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise PayloadDuplicateKey(key=key)
        found[key] = value
    return found


def _no_such_number(name: str) -> NoReturn:
    raise PayloadNotJson(reason=f"{name} is not a number in JSON")
