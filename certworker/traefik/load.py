"""
The load of Traefik during the last 24 hours: its reloads, and its time until it served new certificates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

#: The numbers are added up for each hour, so that their size does not grow with the load.
HOUR_SECONDS = 3600
HOURS = 24


@dataclass
class _Hour:
    reloads: int = 0
    served: int = 0
    seconds: float = 0.0
    slowest: float = 0.0


class ProxyLoad:
    """
    Counts this process's changes to Traefik's files, and records how long Traefik took to serve certificates.

    After each change, Traefik reads all of its files again. Several threads may call these methods.

    Args:
        clock: Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hours: dict[int, _Hour] = {}
        self._lock = Lock()

    def changed(self) -> None:
        """
        Count a change to the files, after which Traefik reloads.
        """
        with self._lock:
            self._current().reloads += 1

    def served(self, seconds: float) -> None:
        """
        Record that Traefik serves a new certificate *seconds* after its publication.
        """
        with self._lock:
            hour = self._current()
            hour.served += 1
            hour.seconds += seconds
            hour.slowest = max(hour.slowest, seconds)

    def mean_seconds(self) -> float:
        """
        Return the mean seconds until Traefik served a new certificate, in the current hour of the clock and
        the previous one; 0: unknown.
        """
        with self._lock:
            hours = [load for hour, load in self._hours.items() if hour >= self._hour() - 1]
        served = sum(hour.served for hour in hours)
        return sum(hour.seconds for hour in hours) / served if served else 0.0

    def report(self) -> dict[str, float]:
        """
        Return the `reloads`, the number of `served` certificates, their mean `seconds`, and the `slowest`.
        """
        with self._lock:
            self._forget()
            hours = list(self._hours.values())
        served = sum(hour.served for hour in hours)
        return {
            "reloads": sum(hour.reloads for hour in hours),
            "served": served,
            "seconds": round(sum(hour.seconds for hour in hours) / served, 3) if served else 0.0,
            "slowest": round(max((hour.slowest for hour in hours), default=0.0), 3),
        }

    def _current(self) -> _Hour:
        self._forget()
        return self._hours.setdefault(self._hour(), _Hour())

    def _forget(self) -> None:
        oldest = self._hour() - HOURS
        self._hours = {hour: load for hour, load in self._hours.items() if hour > oldest}

    def _hour(self) -> int:
        return int(self._clock() // HOUR_SECONDS)
