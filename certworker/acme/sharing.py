"""
A request that many threads need at the same time: one thread sends it, and all share the result.

Without this module, 100 jobs would send 100 requests, or wait for one timeout after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from copy import copy
from threading import Lock
from typing import Generic, TypeVar

from certworker.errors import CertworkerError

Value = TypeVar("Value")

#: In seconds. A call that fails after more than the first value is slow. Its failure is repeated for as long
#: as the call took, up to the second value.
QUICK_SECONDS = 1.0
LONGEST_REPETITION_SECONDS = 30.0

#: In seconds, longer than almost any call. After this time, a waiting thread makes a new call or joins one.
TIMEOUT_SECONDS = 300.0


class Shared(Generic[Value]):
    """
    Shares the result of a call among all threads that need it while the call is running.

    A slow failure is also the result for later threads: a timeout after 10 s is repeated for 10 s. A quick
    failure is not repeated.

    Args:
        monotonic: The clock that measures how long a call takes, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._running: Future[Value] | None = None
        self._last_failure: tuple[CertworkerError, float] | None = None

    def __call__(self, call: Callable[[], Value]) -> Value:
        """
        Return the result of *call*, or of a call that another thread is already making.

        Raises:
            CertworkerError: The failure of the call, or a recent slow failure. Each thread gets its own copy.
        """
        while True:
            with self._lock:
                if self._last_failure and self._monotonic() < self._last_failure[1]:
                    raise copy(self._last_failure[0])
                others = self._running
                if others is None:
                    mine = self._running = Future[Value]()
            if others is None:
                return self._run(mine, call)
            try:
                return others.result(TIMEOUT_SECONDS)
            except CertworkerError as failure:
                raise copy(failure) from None
            except (CancelledError, TimeoutError):
                # The other thread has stopped or hangs. The next iteration makes the call or joins a new one.
                self._end(others)

    def _run(self, mine: Future[Value], call: Callable[[], Value]) -> Value:
        began = self._monotonic()
        try:
            value = call()
        except CertworkerError as failure:
            now = self._monotonic()
            if now - began > QUICK_SECONDS:
                with self._lock:
                    self._last_failure = copy(failure), now + min(now - began, LONGEST_REPETITION_SECONDS)
            self._end(mine)
            mine.set_exception(copy(failure))
            raise
        except BaseException:
            self._end(mine)
            mine.cancel()
            raise
        with self._lock:
            self._last_failure = None
        self._end(mine)
        mine.set_result(value)
        return value

    def _end(self, call: Future[Value]) -> None:
        with self._lock:
            if self._running is call:
                self._running = None
