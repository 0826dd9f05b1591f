"""
The names of new certificates, until a loop takes them in bursts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from certworker.supervision import beat


class Publications:
    """
    The names of each new certificate that no loop has taken yet.

    Args:
        wake: Ends the pause of the loop that takes the names.
        quiet_seconds: A burst ends after this time without a publication.
        longest_burst_seconds: Any burst ends after this time.
    """

    def __init__(
        self, wake: Callable[[], object], *, quiet_seconds: float, longest_burst_seconds: float
    ) -> None:
        self._wake = wake
        self._quiet = quiet_seconds
        self._longest = longest_burst_seconds
        self._names: list[tuple[str, ...]] = []
        self._changed = threading.Condition()
        self.stopped = False

    def after(self, issue: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """
        Return a version of *issue*, the function behind a job, that adds the names of each new certificate.
        """

        @wraps(issue)
        def issued(*arguments: object, **keywords: object) -> dict[str, Any]:
            result = issue(*arguments, **keywords)
            if result["state"] in ("issued", "imported"):
                self.add(result.get("names", ()))
            return result

        return issued

    def add(self, names: Sequence[str]) -> None:
        """
        Add the names of a certificate, and return immediately.
        """
        with self._changed:
            self._names.append(tuple(names))
            self._changed.notify()
        self._wake()

    def stop(self) -> None:
        """
        End the wait of :meth:`take`.
        """
        with self._changed:
            self.stopped = True
            self._changed.notify()

    def take(self) -> list[tuple[str, ...]]:
        """
        Wait until the burst ends, then return and remove its names; without a burst, return an empty list.
        """
        until = time.monotonic() + self._longest
        with self._changed:
            seen = 0
            while not self.stopped and seen < len(self._names) and time.monotonic() < until:
                seen = len(self._names)
                beat()
                self._changed.wait_for(partial(self._has_more_than, seen), self._quiet)
            taken, self._names = self._names, []
            return taken

    def _has_more_than(self, seen: int) -> bool:
        return self.stopped or len(self._names) > seen
