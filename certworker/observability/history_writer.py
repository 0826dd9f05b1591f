"""
Writes the stories of all names down, a few lines at a time.

A job that wrote each of its lines itself would wait for Redis seven times more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Self

from certworker.state.history import History, HistoryEntry
from certworker.supervision import Faults, Loop

#: How long a line may wait for others.
FLUSH_INTERVAL_SECONDS = 0.05


#: Without news there is nothing to write.
PAUSE_SECONDS = 60.0


class HistoryWriter:
    """
    A thread that writes what *stories* were told, as long as the context lasts.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(self, stories: History) -> None:
        self._stories = stories
        self.loop = Loop("history", self._write, faults=Faults("the history"))

    def __enter__(self) -> Self:
        self.loop.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.stop()
        # What was told while the thread wrote for the last time.
        self._stories.flush()

    def append(self, name: str, moment: datetime, level: str, text: str) -> None:
        """
        Add to the story of *name* what happened at that *moment*; returns at once.
        """
        self._stories.append(name, HistoryEntry(moment, level, text))
        self.loop.wake()

    def _write(self) -> float:
        self.loop.stopping.wait(FLUSH_INTERVAL_SECONDS)
        self._stories.flush()
        return PAUSE_SECONDS
