"""
The history of each name: its last fifty events, in plain text that a console may show to a tenant.
"""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from redis import Redis
from redis.exceptions import RedisError

from certworker.errors import LONGEST_SENTENCE, printable
from certworker.redis.codec import decode_time, encode_time, json_in, shown_in

HISTORY = "certworker:story:"

MAX_ENTRIES = 50

#: Lines in the buffer; with more the oldest ones are dropped.
MAX_BUFFERED = 10_000

#: The history expires this long after its last event.
HISTORY_TTL = timedelta(days=120)


@dataclass(frozen=True)
class HistoryEntry:
    """
    One event of a name.
    """

    moment: datetime
    #: The level of the log line: DEBUG, INFO, WARN, ERROR.
    level: str
    text: str


class History:
    """
    The histories of all names, each a list in Redis.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._buffer: deque[tuple[str, str]] = deque(maxlen=MAX_BUFFERED)
        #: Writers take turns, so that the lines of a name stay in order.
        self._writing = Lock()

    def append(self, name: str, event: HistoryEntry) -> None:
        """
        Add *event* to the history of *name* with the next :meth:`flush`.
        """
        line = json.dumps(
            [encode_time(event.moment), event.level, printable(event.text, LONGEST_SENTENCE)],
            ensure_ascii=False,
        )
        self._buffer.append((HISTORY + name, line))

    def flush(self) -> None:
        """
        Write the buffer to Redis. If Redis fails, the lines are dropped: the log has them as well.
        """
        with self._writing, suppress(RedisError):
            lines: dict[str, list[str]] = {}
            while self._buffer:
                key, line = self._buffer.popleft()
                lines.setdefault(key, []).append(line)
            with self._connection.pipeline(transaction=False) as pipe:
                for key, batch in lines.items():
                    pipe.lpush(key, *batch)
                    pipe.ltrim(key, 0, MAX_ENTRIES - 1)
                    pipe.expire(key, HISTORY_TTL)
                pipe.execute()

    def read(self, name: str) -> list[HistoryEntry]:
        """
        Return the events of *name*, oldest first.
        """
        self.flush()
        lines = self._connection.lrange(HISTORY + name, 0, MAX_ENTRIES - 1)
        return [event for line in reversed(lines) if (event := _event(line))]


def _event(line: bytes | str) -> HistoryEntry | None:
    found = json_in(line)
    if not isinstance(found, list) or len(found) != 3:
        return None
    moment, level, text = decode_time(found[0]), shown_in(found[1], 10), shown_in(found[2], LONGEST_SENTENCE)
    return HistoryEntry(moment, level, text) if moment else None
