"""
The story of each name: its last fifty events, in plain text that a console may show to a tenant.
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

#: So many lines wait at most; of more the oldest are dropped.
MAX_BUFFERED = 10_000

#: A name that nothing has happened to for so long has no story any more.
HISTORY_TTL = timedelta(days=120)


@dataclass(frozen=True)
class HistoryEntry:
    """
    One thing that happened to a name.
    """

    moment: datetime
    #: As the log has it: DEBUG, INFO, WARN, ERROR.
    level: str
    text: str


class History:
    """
    The stories of all names, one list in Redis each.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._told: deque[tuple[str, str]] = deque(maxlen=MAX_BUFFERED)
        #: The lines of a name are written one after the other.
        self._writing = Lock()

    def append(self, name: str, event: HistoryEntry) -> None:
        """
        Add *event* to the story of *name*, with the next :meth:`write`.
        """
        line = json.dumps(
            [encode_time(event.moment), event.level, printable(event.text, LONGEST_SENTENCE)],
            ensure_ascii=False,
        )
        self._told.append((HISTORY + name, line))

    def flush(self) -> None:
        """
        Keep what was told; without a Redis it is not kept, for the log has it, too.
        """
        with self._writing, suppress(RedisError):
            lines: dict[str, list[str]] = {}
            while self._told:
                key, line = self._told.popleft()
                lines.setdefault(key, []).append(line)
            with self._connection.pipeline(transaction=False) as pipe:
                for key, some in lines.items():
                    pipe.lpush(key, *some)
                    pipe.ltrim(key, 0, MAX_ENTRIES - 1)
                    pipe.expire(key, HISTORY_TTL)
                pipe.execute()

    def read(self, name: str) -> list[HistoryEntry]:
        """
        What happened to *name*, oldest first.
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
