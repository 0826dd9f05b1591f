"""
Writes the stories of all names down, a few lines at a time.

A job that wrote each of its lines itself would wait for Redis seven times more.
"""

from __future__ import annotations

import logging
from datetime import datetime
from threading import Event as Flag
from threading import Thread
from typing import Self

from certworker.ledger.story import Event, Stories

logger = logging.getLogger(__name__)

#: How long a line may wait for others.
COLLECTED_FOR_SECONDS = 0.05


class Chronicle:
    """
    A thread that writes what *stories* were told, as long as the context lasts.
    """

    def __init__(self, stories: Stories) -> None:
        self._stories = stories
        self._news = Flag()
        self._stopped = Flag()
        self._thread = Thread(target=self._run, name="chronicle", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._news.set()
        self._thread.join(timeout=5)
        # What was told while the thread wrote for the last time.
        self._stories.write()

    def tell(self, name: str, moment: datetime, level: str, text: str) -> None:
        """
        Add to the story of *name* what happened at that *moment*; returns at once.
        """
        self._stories.tell(name, Event(moment, level, text))
        self._news.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._news.wait()
            self._stopped.wait(COLLECTED_FOR_SECONDS)
            self._news.clear()
            try:
                self._stories.write()
            except Exception:
                logger.exception("the stories could not be written")
