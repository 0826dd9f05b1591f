"""
The stream in Redis on which bundles are published, `certworker:published`.

Its size is bounded: it has at most 2,500 entries, and at most about 12 MB if they have similar sizes. A host
that misses an entry compares its names with those of another host later. Any program may write entries, so
the script that reads them leaves out the content of large ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from certworker.redis.codec import decode_text
from certworker.replication.bundle import LARGEST_ENTRY

PUBLISHED = "certworker:published"

#: The limits of the stream: bytes, and entries.
MOST_BYTES = 12 * 1024 * 1024
MOST_ENTRIES = 2_500

#: The maximum number of entries that one command reads: about 2 MB.
ENTRIES_PER_READ = 32

#: The position before the first entry.
BEGINNING = "0-0"

#: The position after all entries.
_END = f"{2**64 - 1}-{2**64 - 1}"

_POSITION = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
#: Each part of a position is less than this.
_TOO_LARGE = 2**64

#: In bytes. A larger entry cannot be a bundle of any version. The first node that reads it removes it,
#: because Redis copies it for each script.
HUGE_ENTRY = 1024 * 1024

#: KEYS: the stream. ARGV: the position, the maximum number of entries, the maximum size of an entry, and the
#: size above which it is removed. Returns the id of the first entry, the last id, and the entries after the
#: position: the id, the size, and the fields. An entry above the maximum size has no fields. The script
#: removes a key of another type.
_READ = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'stream' then redis.call('UNLINK', KEYS[1]) return {'', '', {}} end
local first, last = '', ''
local facts = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #facts, 2 do
    if facts[i] == 'last-generated-id' then last = facts[i + 1] end
    if facts[i] == 'first-entry' and facts[i + 1] then first = facts[i + 1][1] end
end
local found = {}
local read = redis.call('XREAD', 'COUNT', ARGV[2], 'STREAMS', KEYS[1], ARGV[1])
if read then
    for i, entry in ipairs(read[1][2]) do
        local size = 0
        for _, part in ipairs(entry[2]) do size = size + #part end
        if size > tonumber(ARGV[4]) then redis.call('XDEL', KEYS[1], entry[1]) end
        found[i] = {entry[1], size, size <= tonumber(ARGV[3]) and entry[2] or {}}
    end
end
return {first, last, found}
"""

#: The maximum number of bytes of the field names of an entry.
_FIELD_NAMES = 256


@dataclass(frozen=True)
class Entry:
    """
    One entry of the stream.
    """

    position: str
    #: The number of bytes.
    size: int
    #: Empty if the entry is too large.
    fields: Mapping[str, bytes]


@dataclass(frozen=True)
class Reading:
    """
    The entries after a position.
    """

    entries: list[Entry]
    #: The position of the last entry that was ever added, or :data:`BEGINNING` if none was.
    last: str
    #: Whether entries after the position may be missing, because the stream was shortened or lost.
    has_gap: bool


class BundleStream:
    """
    A stream of bundles; by default, :data:`PUBLISHED`.
    """

    def __init__(self, connection: Redis, key: str = PUBLISHED) -> None:
        self._connection = connection
        self._key = key
        self._read = connection.register_script(_READ)

    def add(self, entry: Mapping[str, bytes], most: int = MOST_ENTRIES) -> None:
        """
        Add *entry*, and remove the oldest entries beyond the limits: *most* entries, and :data:`MOST_BYTES`
        if all have the size of *entry*.

        Raises:
            redis.RedisError: Redis failed.
        """
        size = sum(map(len, entry.values()))
        limit = min(most, MOST_BYTES // max(size, 1))
        fields: dict[Any, Any] = dict(entry)
        self._connection.xadd(self._key, fields, maxlen=limit, approximate=False)

    def add_all(self, entries: Sequence[Mapping[str, bytes]], lifetime_ms: int) -> None:
        """
        Add *entries* to a stream that expires after *lifetime_ms*.

        Raises:
            redis.RedisError: Redis failed.
        """
        with self._connection.pipeline(transaction=True) as pipe:
            for entry in entries:
                fields: dict[Any, Any] = dict(entry)
                pipe.xadd(self._key, fields)
            pipe.pexpire(self._key, lifetime_ms)
            pipe.execute()

    def remove(self) -> None:
        """
        Remove the stream.

        Raises:
            redis.RedisError: Redis failed.
        """
        self._connection.unlink(self._key)

    def next_position(self, position: str) -> str | None:
        """
        Return the position of the first entry after *position*; None: there is none.

        Raises:
            redis.RedisError: Redis failed.
        """
        _, _, found = self._read([self._key], [position, 1, 0, HUGE_ENTRY])
        return _position(found[0][0]) if found else None

    def end(self) -> str:
        """
        Return the position of the last entry that was ever added.

        Raises:
            redis.RedisError: Redis failed.
        """
        _, last, _ = self._read([self._key], [_END, 1, 0, HUGE_ENTRY])
        return _position(last)

    def read(self, position: str) -> Reading:
        """
        Return the next entries after *position*, at most :data:`ENTRIES_PER_READ`.

        Raises:
            redis.RedisError: Redis failed.
        """
        limits = [ENTRIES_PER_READ, LARGEST_ENTRY + _FIELD_NAMES, HUGE_ENTRY]
        first, last, found = self._read([self._key], [position, *limits])
        first, last = _position(first), _position(last)
        if order_of(last) < order_of(position):
            # Redis was emptied, or restored from an older copy.
            return Reading([], last, has_gap=True)
        entries = [Entry(_position(each[0]), int(each[1]), _fields(each[2])) for each in found]
        return Reading(entries, last, has_gap=order_of(position) < order_of(first) and position != BEGINNING)


def is_position(text: str) -> bool:
    """
    Return whether *text* is a position in a stream.
    """
    return _POSITION.fullmatch(text) is not None and max(order_of(text)) < _TOO_LARGE


def order_of(position: str) -> tuple[int, int]:
    """
    Return *position* in a form that can be compared: milliseconds since 1970, and a number.
    """
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number)


def _position(value: bytes) -> str:
    text = decode_text(value)
    return text if is_position(text) else BEGINNING


def _fields(parts: list[bytes]) -> dict[str, bytes]:
    pairs = zip(parts[::2], parts[1::2], strict=False)
    return {decode_text(name)[:_FIELD_NAMES]: value for name, value in pairs}
