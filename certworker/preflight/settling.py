"""
The first moments of a worker, in which port 80 may not lead to it yet.

After `docker compose up` the worker takes its first jobs while Traefik still loads its routes. A check that
fails then says nothing of the name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from typing import Self

#: Seconds. Traefik on a busy machine needs some.
SETTLING_SECONDS = 30.0

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 3.0


class Settling:
    """
    The first *seconds* of a worker, which begin now.

    Args:
        stopping: Ends each pause.
        first_pause_seconds: The next ones are longer.
    """

    def __init__(
        self,
        stopping: Event,
        seconds: float = SETTLING_SECONDS,
        *,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._stopping = stopping
        self._until = time.monotonic() + seconds
        self._first_pause = first_pause_seconds

    @classmethod
    def over(cls) -> Self:
        """
        Return one that has ended: what leads to the worker is there.
        """
        return cls(Event(), 0)

    def seconds_left(self) -> float:
        """
        Return how many seconds are left; 0 after the end.
        """
        return 0.0 if self._stopping.is_set() else max(0.0, self._until - time.monotonic())

    def pauses(self) -> Iterator[None]:
        """
        Yield after each of the growing pauses until the end; after the end yield nothing.
        """
        pause = self._first_pause
        while left := self.seconds_left():
            self._stopping.wait(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
            yield
