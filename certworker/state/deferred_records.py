"""
The records of names that wait for a slot, written by the thousand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from redis import Redis

from certworker.redis.codec import encode_time
from certworker.state.domain_records import RECORDS, RECORDS_A_COMMAND

MESSAGE = "Waits for a free slot; it begins by itself."

#: KEYS: records. ARGV: the field that each has for itself, how many fields they have in common, these with
#: their values, the fields that go, then the first field for each record.
_WRITE = """
local common = 2 * ARGV[2]
for i, key in ipairs(KEYS) do
    redis.call('HSET', key, ARGV[1], ARGV[2 + common + 2 + i], unpack(ARGV, 3, 2 + common))
    redis.call('HDEL', key, ARGV[3 + common], ARGV[4 + common])
end
"""


class DeferredRecords:
    """
    Tells in the records of names that they wait.
    """

    def __init__(self, connection: Redis) -> None:
        self._write = connection.register_script(_WRITE)

    def write(self, requests: Iterable[tuple[str, ...]], *, next_check: datetime, now: datetime) -> None:
        """
        The names of each of *requests* wait; they are looked at again at *next_check* if nothing happens.
        """
        common = {
            "state": "waiting",
            "message": MESSAGE,
            "next_check": encode_time(next_check),
            "updated": encode_time(now),
        }
        told = [part for field in common.items() for part in field]
        beside = {RECORDS + name: json.dumps(names) for names in requests for name in names}
        keys = list(beside)
        for start in range(0, len(keys), RECORDS_A_COMMAND):
            some = keys[start : start + RECORDS_A_COMMAND]
            self._write(some, ["names", len(common), *told, "code", "remedy", *(beside[key] for key in some)])
