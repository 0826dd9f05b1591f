"""
The history of each name: its last fifty log lines, in plain text for the console of a tenant.

If a job wrote each of its lines to Redis, it would wait for Redis seven more times. So a thread writes the
lines of all jobs in batches.

The last line of a job also has the durations of its steps, as the fourth member of its list.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Self
from weakref import WeakValueDictionary

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from certworker.errors import LONGEST_SENTENCE, printable
from certworker.observability.log import LEVELS, sentence
from certworker.redis.codec import decode_time, encode_time, json_in, shown_in
from certworker.redis.shared_trips import send_with_next
from certworker.supervision import Faults, Loop
from certworker.tracing.steps import JOB_STEPS

HISTORY = "certworker:story:"

MAX_ENTRIES = 50

#: The maximum number of lines in the buffer. The oldest lines above this number are dropped.
MAX_BUFFERED = 10_000

#: The history expires this long after its last line.
HISTORY_TTL = timedelta(days=120)

#: The longest valid duration of a step: a day, in milliseconds. The time limit of a job is much shorter.
LONGEST_MS = 86_400_000

#: How long a line waits for others, so that they share a batch.
FLUSH_INTERVAL_SECONDS = 0.5

#: The pause of the loop without new lines.
PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class HistoryEntry:
    """
    One log line about a name.
    """

    moment: datetime
    #: The level of the log line: INFO, WARN or ERROR.
    level: str
    text: str
    #: For the last line of a job: the milliseconds of each step that it ran, in their order.
    timings_ms: Mapping[str, float] = field(default_factory=dict)


class RecentLines:
    """
    The last lines of a name: the earlier ones, and those that this process adds.

    Args:
        earlier: Returns the earlier lines, the oldest first.
    """

    def __init__(self, earlier: Callable[[], Sequence[HistoryEntry]]) -> None:
        self._earlier = earlier
        #: The lines that this process has added.
        self.added: deque[HistoryEntry] = deque(maxlen=MAX_ENTRIES)

    def read(self) -> list[HistoryEntry]:
        """
        Return the lines, the oldest first.

        Raises:
            redis.RedisError: Redis failed.
        """
        return [*self._earlier(), *self.added][-MAX_ENTRIES:]


class History:
    """
    The histories of all names, each a list in Redis.
    """

    def __init__(self, connection: Redis) -> None:
        self._connection = connection
        self._buffer: deque[tuple[str, str]] = deque(maxlen=MAX_BUFFERED)
        #: One thread at a time writes, so that the lines of a name stay in order.
        self._writing = Lock()
        #: The lines that jobs follow, by the key of the name.
        self._followed: WeakValueDictionary[str, RecentLines] = WeakValueDictionary()

    def append(self, name: str, event: HistoryEntry) -> None:
        """
        Add *event* to the buffer. The next :meth:`flush` adds it to the history of *name*.
        """
        key, text = HISTORY + name, printable(event.text, LONGEST_SENTENCE)
        line: list[object] = [encode_time(event.moment), event.level, text]
        if event.timings_ms:
            line.append(dict(event.timings_ms))
        if followed := self._followed.get(key):
            followed.added.append(HistoryEntry(event.moment, event.level, text))
        self._buffer.append((key, json.dumps(line, ensure_ascii=False)))

    def follow(self, name: str) -> RecentLines:
        """
        Return the lines of *name*. This process adds each new line while a caller uses the returned object.

        A job requests the earlier lines together with its next command, and reads its own lines without
        Redis.
        """
        key = HISTORY + name
        if followed := self._followed.get(key):
            return followed
        buffered = [event for each, line in tuple(self._buffer) if each == key and (event := _event(line))]
        reply = send_with_next(self._connection, "LRANGE", key, 0, MAX_ENTRIES - 1)
        return self._followed.setdefault(key, RecentLines(lambda: [*_events(reply.value()), *buffered]))

    def flush(self) -> None:
        """
        Write the buffer to Redis. If Redis fails, the lines are dropped: the log also has them.
        """
        with self._writing, suppress(RedisError), self._connection.pipeline(transaction=False) as pipe:
            self._take_buffer(pipe)
            pipe.execute()

    def read(self, name: str) -> list[HistoryEntry]:
        """
        Write the buffer to Redis, and return the lines of *name*, the oldest first.

        Raises:
            redis.RedisError: Redis failed. The lines in the buffer are dropped: the log also has them.
        """
        with self._writing, self._connection.pipeline(transaction=False) as pipe:
            self._take_buffer(pipe)
            pipe.lrange(HISTORY + name, 0, MAX_ENTRIES - 1)
            lines: Any = pipe.execute(raise_on_error=False)[-1]
        if isinstance(lines, RedisError):
            raise lines
        return _events(lines)

    def _take_buffer(self, pipe: Pipeline) -> None:
        lines: dict[str, list[str]] = {}
        while self._buffer:
            key, line = self._buffer.popleft()
            lines.setdefault(key, []).append(line)
        for key, batch in lines.items():
            pipe.lpush(key, *batch)
            pipe.ltrim(key, 0, MAX_ENTRIES - 1)
            pipe.expire(key, HISTORY_TTL)


def _events(lines: Sequence[bytes]) -> list[HistoryEntry]:
    return [event for line in reversed(lines) if (event := _event(line))]


def _event(line: bytes | str) -> HistoryEntry | None:
    found = json_in(line)
    if not isinstance(found, list) or len(found) not in (3, 4):
        return None
    moment, level, text = decode_time(found[0]), shown_in(found[1], 10), shown_in(found[2], LONGEST_SENTENCE)
    timings = _timings(found[3]) if len(found) == 4 else {}
    return HistoryEntry(moment, level, text, timings) if moment else None


def _timings(found: object) -> dict[str, float]:
    """
    Return the valid durations in *found*, in the order of the steps.
    """
    by_step: Mapping[str, object] = found if isinstance(found, dict) else {}
    return {step: value for step in JOB_STEPS if (value := _duration(by_step.get(step))) is not None}


def _duration(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= LONGEST_MS else None


class HistoryLogHandler(logging.Handler):
    """
    A handler for the "certworker" logger that passes on the lines about a name, from INFO on.

    Args:
        append: Takes the name and the event, whose text is the message with its code and remedy.
    """

    def __init__(self, append: Callable[[str, HistoryEntry], None]) -> None:
        super().__init__(logging.INFO)
        self._append = append

    def emit(self, record: logging.LogRecord) -> None:
        """
        Pass *record* on if it has a name.
        """
        try:
            if name := getattr(record, "domain", None):
                moment = datetime.fromtimestamp(record.created, UTC)
                level = LEVELS.get(record.levelno, record.levelname)
                timings = (getattr(record, "fields", None) or {}).get("timings_ms", {})
                self._append(name, HistoryEntry(moment, level, sentence(record), timings))
        except Exception:
            # As in the handlers of the standard library, an error of the log must not fail the caller.
            self.handleError(record)


class HistoryWriter:
    """
    A thread that writes appended lines to *history* until the context ends.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self.loop = Loop("history", self._write, faults=Faults("the history"))

    def __enter__(self) -> Self:
        self.loop.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.stop()
        # Lines may have arrived during the last write of the thread.
        self._history.flush()

    def append(self, name: str, event: HistoryEntry) -> None:
        """
        Add *event* to the history of *name*; return immediately.
        """
        self._history.append(name, event)
        self.loop.wake()

    def _write(self) -> float:
        self.loop.stopping.wait(FLUSH_INTERVAL_SECONDS)
        self._history.flush()
        return PAUSE_SECONDS
