"""
The stream of outcomes for other programs, and additional fields in the records.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence

from redis import Redis
from redis.exceptions import RedisError

from certworker.state.domain_records import RECORDS

EVENTS = "certworker:events"

#: About 20 MB. A program that has missed more events reads the records.
MAX_EVENTS = 10_000

#: Fields that the stream adds to the records.
ADDITIONAL_FIELDS = ("issue_date", "renew_date", "logs")

#: redis-py repeats a command whose answer was lost. An event with the id of one of the last events is a
#: repetition.
LAST_EVENTS = 20

# KEYS: the stream, the records. ARGV: the length of the stream, the number of events to compare, the id of
# the event, the event, then fields with their values.
_APPEND = """
local known = false
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[2])) do
    local fields = entry[2]
    for i = 1, #fields, 2 do known = known or fields[i] == 'id' and fields[i + 1] == ARGV[3] end
end
if not known then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'event', ARGV[4], 'id', ARGV[3])
end
for i = 2, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('HSET', KEYS[i], unpack(ARGV, 5)) end
end
"""


class EventStream:
    """
    The stream of events.
    """

    def __init__(self, connection: Redis) -> None:
        self._append = connection.register_script(_APPEND)

    def append(self, names: Sequence[str], event: Mapping[str, object]) -> None:
        """
        Add *event* to the stream, and its additional fields to the record of each of *names*.

        If Redis fails, the event is dropped: programs read the records after an outage.
        """
        fields = [part for field in ADDITIONAL_FIELDS for part in (field, str(event.get(field) or ""))]
        keys = [EVENTS, *(RECORDS + name for name in names)]
        # Equal events may occur twice. Only the repetition of a command has the same id.
        event_id, text = secrets.token_hex(8), json.dumps(event, ensure_ascii=False)
        try:
            self._append(keys, [MAX_EVENTS, LAST_EVENTS, event_id, text, *fields])
        except RedisError:
            return
