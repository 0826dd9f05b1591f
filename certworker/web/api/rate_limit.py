"""
The limit of calls from one caller, such as a token or an address.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Lock

from certworker.ttl_cache import TtlCache

#: The limit of the API: the calls per second, and how many calls may arrive at the same time.
CALLS_PER_SECOND = 20.0
BURST = 200

#: A sum of many floating-point times is not exact.
ROUNDING_SECONDS = 1e-6


class RateLimit:
    """
    Counts the calls from each caller in a token bucket, in the memory of this process.

    Args:
        clock: Returns monotonic seconds.
        per_second: The calls per second from one caller; None for the limit of the API.
        burst: How many calls may arrive at the same time; None for the limit of the API.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        per_second: float | None = None,
        burst: int | None = None,
    ) -> None:
        self._clock = clock
        self._pause = 1 / (per_second or CALLS_PER_SECOND)
        self._burst_seconds = (burst or BURST) * self._pause
        #: For each caller, when its bucket is full again.
        self._full_again: TtlCache[str, float] = TtlCache(clock)
        self._lock = Lock()

    def wait_of(self, caller: str) -> int:
        """
        Count a call from *caller* and return 0; over the limit, only return the seconds to wait.
        """
        with self._lock:
            now = self._clock()
            full = max(self._full_again.get(caller) or now, now) + self._pause
            over = full - now - self._burst_seconds
            if over > ROUNDING_SECONDS:
                return math.ceil(over)
            self._full_again.put(caller, full, full - now)
            return 0
