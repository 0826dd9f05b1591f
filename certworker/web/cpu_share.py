"""
The share of the processor that the page of a worker may use.

Python runs one thread at a time, so each request to the page takes time from the jobs. If many requests
arrive, they wait, so that the page uses at most a tenth of the time. A job then takes at most about 1.2
times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

SHARE = 1 / 10
#: The processor time that the page may use without a pause, for example for a few visitors.
BURST_SECONDS = 1.0


class CpuShare:
    """
    Counts the processor time of the page, and returns how long the next request has to wait.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: Returns monotonic seconds.
        """
        self._clock = clock
        self._lock = Lock()
        self._left = BURST_SECONDS
        self._counted = clock()

    def spend(self, seconds: float) -> None:
        """
        Count *seconds* of processor time.
        """
        with self._lock:
            now = self._clock()
            self._left = min(BURST_SECONDS, self._left + (now - self._counted) * SHARE) - seconds
            self._counted = now

    def pause_seconds(self) -> float:
        """
        Return the seconds until the page may use the processor again; 0 if it may use it now.
        """
        with self._lock:
            return max(0.0, -self._left / SHARE - (self._clock() - self._counted))
