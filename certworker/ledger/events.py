"""
What happened to each name, for other programs: a capped stream, and some fields beside the record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from redis import Redis
from redis.exceptions import RedisError

from certworker.ledger.record import RECORDS

EVENTS = "certworker:events"

#: Some 20 MB; whoever was away for longer reads the records.
EVENTS_KEPT = 10_000

#: What the record has not got by itself.
BESIDE_THE_RECORD = ("issue_date", "renew_date", "logs")

# KEYS: the stream, the records. ARGV: how many events are kept, the event, then fields and their values.
_TELL = """
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'event', ARGV[2])
for i = 2, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('HSET', KEYS[i], unpack(ARGV, 3)) end
end
"""


class Events:
    """
    The stream of events.
    """

    def __init__(self, connection: Redis) -> None:
        self._tell = connection.register_script(_TELL)

    def tell(self, names: Sequence[str], event: Mapping[str, object]) -> None:
        """
        Add *event* to the stream, and to the record of each of *names* what it has not got by itself.

        Without a Redis nobody is told: whoever follows the stream has to read the records anyway, after
        it was away for long.
        """
        beside = [part for field in BESIDE_THE_RECORD for part in (field, str(event.get(field) or ""))]
        keys = [EVENTS, *(RECORDS + name for name in names)]
        try:
            self._tell(keys, [EVENTS_KEPT, json.dumps(event, ensure_ascii=False), *beside])
        except RedisError:
            return
