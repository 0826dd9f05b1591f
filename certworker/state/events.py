"""
What happened to each name, for other programs: a capped stream, and some fields beside the record.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence

from redis import Redis
from redis.exceptions import RedisError

from certworker.state.domain_records import RECORDS

EVENTS = "certworker:events"

#: Some 20 MB; whoever was away for longer reads the records.
MAX_EVENTS = 10_000

#: What the record has not got by itself.
BESIDE_THE_RECORD = ("issue_date", "renew_date", "logs")

#: redis-py repeats a command whose answer was lost: an event with the id of one of so many last ones is that.
LAST_EVENTS = 20

# KEYS: the stream, the records. ARGV: how many events are kept, how many are compared, the id of the event,
# the event, then fields and their values.
_TELL = """
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
        self._tell = connection.register_script(_TELL)

    def append(self, names: Sequence[str], event: Mapping[str, object]) -> None:
        """
        Add *event* to the stream, and to the record of each of *names* what it has not got by itself.

        Without a Redis nobody is told: whoever follows the stream has to read the records anyway, after
        it was away for long.
        """
        beside = [part for field in BESIDE_THE_RECORD for part in (field, str(event.get(field) or ""))]
        keys = [EVENTS, *(RECORDS + name for name in names)]
        # Equal events may happen twice; only the repetition of a command has the same id.
        event_id, text = secrets.token_hex(8), json.dumps(event, ensure_ascii=False)
        try:
            self._tell(keys, [MAX_EVENTS, LAST_EVENTS, event_id, text, *beside])
        except RedisError:
            return
