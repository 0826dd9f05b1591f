"""
The names that pointed to another server at their last daily checks.

A name stays in the list until a check finds it at this server, a CA validates it, or the name is removed. A
moved name stays in the list for 30 days after it was taken out of service. Before a name counts as moved, a
check without a definite result also removes it from the list. If Redis loses the list, the count of the days
starts again from zero.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Self

from redis import Redis

from certworker.redis.codec import count_in, decode_time, encode_time, fields_in, shown_in
from certworker.redis.shared_trips import send_with_next

SIGHTINGS = "certworker:elsewhere"

#: The number of consecutive daily checks that have to find a name elsewhere before it counts as moved.
CHECKS = 3
#: The minimum time from the first to the last of these checks, with a tolerance for a late first check.
SPAN = timedelta(days=CHECKS - 1) - timedelta(hours=1)
#: After a longer pause between two checks, the count starts again. The name may have been back.
LONGEST_GAP = timedelta(hours=40)

#: The maximum number of characters of the records found, and the maximum size of an entry in bytes.
LONGEST_FOUND = 500
LARGEST_ENTRY = 4_096

NAMES_PER_COMMAND = 500

# KEYS: the list. ARGV: the maximum size of an entry, then names. Returns the entry of each name, or an empty
# string. Removes larger entries.
_READ = """
local found = {}
for i = 2, #ARGV do
    found[i - 1] = redis.call('HGET', KEYS[1], ARGV[i]) or ''
    if #found[i - 1] > tonumber(ARGV[1]) then
        redis.call('HDEL', KEYS[1], ARGV[i])
        found[i - 1] = ''
    end
end
return found
"""


@dataclass(frozen=True)
class Sighting:
    """
    A name that the daily checks found at another server.
    """

    #: The number of consecutive checks.
    checks: int
    #: The times of the first and the last of these checks.
    first: datetime
    last: datetime
    #: The records that the last check found.
    found: str

    @property
    def is_final(self) -> bool:
        """
        Return whether checks on three consecutive days found the name elsewhere.
        """
        return self.checks >= CHECKS and self.last - self.first >= SPAN

    @classmethod
    def after(cls, earlier: Self | None, found: str, now: datetime) -> Self:
        """
        Return the sighting after a check at *now* that found the name elsewhere, and the checks of *earlier*.

        Without *earlier*, or after a pause of more than :data:`LONGEST_GAP`, the count starts again.
        """
        if earlier is None or not timedelta(0) <= now - earlier.last <= LONGEST_GAP:
            return cls(1, now, now, found)
        return replace(earlier, checks=earlier.checks + 1, last=now, found=found)


class Sightings:
    """
    The list in Redis, by name. Methods raise redis.RedisError if Redis fails.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._read = connection.register_script(_READ)

    def read_many(self, names: Sequence[str]) -> Mapping[str, Sighting]:
        """
        Return the sightings of those of *names* that are in the list.
        """
        if not names or not self._connection.exists(SIGHTINGS):
            return {}
        found: dict[str, Sighting] = {}
        for batch in _batches(names):
            entries: list[bytes] = self._read([SIGHTINGS], [LARGEST_ENTRY, *batch])
            found |= _sightings(batch, entries)
        return found

    def ask(self, names: Sequence[str]) -> Callable[[], Mapping[str, Sighting]]:
        """
        Read the sightings of *names* together with the next command.

        Return a function that returns the sightings of those of *names* that are in the list.
        """
        reply = send_with_next(self._connection, "EVAL", _READ, 1, SIGHTINGS, LARGEST_ENTRY, *names)
        return lambda: _sightings(names, reply.value())

    def moved(self, names: Sequence[str]) -> frozenset[str]:
        """
        Return those of *names* that have moved.
        """
        return frozenset(name for name, each in self.read_many(names).items() if each.is_final)

    def put(self, name: str, sighting: Sighting) -> None:
        """
        Store the *sighting* of *name*.
        """
        entry: Any = json.dumps(
            {
                "checks": sighting.checks,
                "first": encode_time(sighting.first),
                "last": encode_time(sighting.last),
                "found": sighting.found[:LONGEST_FOUND],
            }
        )
        self._connection.hset(SIGHTINGS, name, entry)

    def forget(self, *names: str) -> None:
        """
        Remove *names* from the list. If Redis fails, the next checks remove those that are back.
        """
        if names:
            send_with_next(self._connection, "HDEL", SIGHTINGS, *names)


def _sightings(names: Sequence[str], entries: Sequence[bytes]) -> dict[str, Sighting]:
    pairs = zip(names, entries, strict=True)
    return {name: sighting for name, entry in pairs if (sighting := _sighting_in(entry))}


def _sighting_in(entry: bytes) -> Sighting | None:
    """
    Return the sighting in *entry*, which any program may have written; None if it is invalid.
    """
    fields = fields_in(entry or None)
    checks, first, last = (
        count_in(fields.get("checks")),
        *(decode_time(fields.get(key)) for key in ("first", "last")),
    )
    if not (checks and first and last):
        return None
    return Sighting(checks, first, last, shown_in(fields.get("found"), LONGEST_FOUND))


def _batches(names: Sequence[str]) -> Iterator[list[str]]:
    iterator = iter(names)
    while batch := list(islice(iterator, NAMES_PER_COMMAND)):
        yield batch
