"""
The time limits of all jobs, enforced by one thread.

RQ starts a thread for each limit. A new thread costs a job about as much as one of its requests to the CA.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from threading import Condition, Thread

from certworker.supervision import log_unexpected


class TimeLimits:
    """
    The time limits of the running jobs, and the thread that enforces them. The thread starts with the first
    limit.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        #: The end of each limit on the monotonic clock.
        self._ends: dict[TimeLimit, float] = {}
        #: The time at which the thread checks the limits again.
        self._next_check = inf
        self._thread: Thread | None = None

    def add(self, limit: TimeLimit) -> None:
        """
        Call the function of *limit* after its time, unless :meth:`remove` removes the limit first.
        """
        with self._changed:
            self._ends[limit] = end = time.monotonic() + limit.seconds
            if self._thread is None:
                self._thread = Thread(target=self._run, name="time limits", daemon=True)
                self._thread.start()
            elif end < self._next_check:
                self._changed.notify()

    def remove(self, limit: TimeLimit) -> None:
        """
        Remove *limit*. When this method returns, the function of *limit* has returned, or will never be
        called.
        """
        with self._changed:
            self._ends.pop(limit, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for limit in [limit for limit, end in self._ends.items() if end <= now]:
                    del self._ends[limit]
                    try:
                        limit.call()
                    except Exception as error:
                        log_unexpected("a time limit", error)
                self._next_check = min(self._ends.values(), default=inf)
                self._changed.wait(None if self._next_check == inf else self._next_check - now)


class TimeLimit:
    """
    Calls *call* after *seconds*, unless the limit is canceled first, as :class:`threading.Timer` does.
    """

    def __init__(self, limits: TimeLimits, seconds: float, call: Callable[[], object]) -> None:
        self.seconds = seconds
        self.call = call
        self._limits = limits

    def start(self) -> None:
        """
        Start the timer.
        """
        self._limits.add(self)

    def cancel(self) -> None:
        """
        Prevent the call.
        """
        self._limits.remove(self)
