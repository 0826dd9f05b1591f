"""
The first seconds of a worker, in which port 80 may not be routed to it yet.

After `docker compose up` the worker takes its first jobs while Traefik still loads its routes. A check that
fails then reveals nothing about the name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from typing import Self

#: Traefik on a busy machine needs several seconds.
SETTLING_SECONDS = 30.0

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 3.0


class Settling:
    """
    The first *seconds* of a worker, from now.

    Args:
        stopping: Ends each pause.
        first_pause_seconds: The length of the first pause; later ones are longer.
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
        Return an instance that has ended.
        """
        return cls(Event(), 0)

    def seconds_left(self) -> float:
        """
        Return how many seconds are left; 0 after the end.
        """
        return 0.0 if self._stopping.is_set() else max(0.0, self._until - time.monotonic())

    def pauses(self) -> Iterator[None]:
        """
        Yield after each of the growing pauses until the end.
        """
        pause = self._first_pause
        while left := self.seconds_left():
            self._stopping.wait(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
            yield
