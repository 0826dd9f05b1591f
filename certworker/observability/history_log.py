"""
The log lines about each name, written to its history in Redis.

A job that wrote each of its lines itself would wait for Redis seven more times. A thread collects the lines
and writes them in batches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

from certworker.observability.log import LEVELS, sentence
from certworker.state.history import History, HistoryEntry
from certworker.supervision import Faults, Loop

#: How long a line may wait for others.
FLUSH_INTERVAL_SECONDS = 0.05

#: The pause of the loop without new lines.
PAUSE_SECONDS = 60.0


class HistoryLogHandler(logging.Handler):
    """
    A handler for the "certworker" logger that passes on the lines about a name.

    Args:
        append: Takes the name, the time, the level and the message with its fields.
    """

    def __init__(self, append: Callable[[str, datetime, str, str], None]) -> None:
        super().__init__(logging.INFO)
        self._append = append

    def emit(self, record: logging.LogRecord) -> None:
        """
        Pass *record* on if it has a name.
        """
        try:
            if name := getattr(record, "domain", None):
                time = datetime.fromtimestamp(record.created, UTC)
                self._append(name, time, LEVELS.get(record.levelno, record.levelname), sentence(record))
        except Exception:
            # As in each handler of the standard library: logging must not fail the caller.
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
        # Lines that arrived during the last write of the thread.
        self._history.flush()

    def append(self, name: str, time: datetime, level: str, text: str) -> None:
        """
        Add a line to the history of *name*; return at once.
        """
        self._history.append(name, HistoryEntry(time, level, text))
        self.loop.wake()

    def _write(self) -> float:
        self.loop.stopping.wait(FLUSH_INTERVAL_SECONDS)
        self._history.flush()
        return PAUSE_SECONDS
