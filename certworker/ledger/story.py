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
from certworker.ledger.text import json_in, moment_in, shown_in, written

STORIES = "certworker:story:"

EVENTS_KEPT = 50

#: So many lines wait at most; of more the oldest are dropped.
MOST_UNWRITTEN = 10_000

#: A name that nothing has happened to for so long has no story any more.
KEPT_FOR = timedelta(days=120)


@dataclass(frozen=True)
class Event:
    """
    One thing that happened to a name.
    """

    moment: datetime
    #: As the log has it: DEBUG, INFO, WARN, ERROR.
    level: str
    text: str


class Stories:
    """
    The stories of all names, one list in Redis each.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._told: deque[tuple[str, str]] = deque(maxlen=MOST_UNWRITTEN)
        #: The lines of a name are written one after the other.
        self._writing = Lock()

    def tell(self, name: str, event: Event) -> None:
        """
        Add *event* to the story of *name*, with the next :meth:`write`.
        """
        line = json.dumps(
            [written(event.moment), event.level, printable(event.text, LONGEST_SENTENCE)], ensure_ascii=False
        )
        self._told.append((STORIES + name, line))

    def write(self) -> None:
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
                    pipe.ltrim(key, 0, EVENTS_KEPT - 1)
                    pipe.expire(key, KEPT_FOR)
                pipe.execute()

    def read(self, name: str) -> list[Event]:
        """
        What happened to *name*, oldest first.
        """
        self.write()
        lines = self._connection.lrange(STORIES + name, 0, EVENTS_KEPT - 1)
        return [event for line in reversed(lines) if (event := _event(line))]


def _event(line: bytes | str) -> Event | None:
    found = json_in(line)
    if not isinstance(found, list) or len(found) != 3:
        return None
    moment, level, text = moment_in(found[0]), shown_in(found[1], 10), shown_in(found[2], LONGEST_SENTENCE)
    return Event(moment, level, text) if moment else None
