"""
Requests that many threads need at the same time: one of them sends it, and all share its outcome.

Without it, a hundred jobs that meet a CA that does not answer would wait for it one after the other.
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

#: A failure that took longer than the first is repeated for as long as it took, and at most for the second.
QUICK_SECONDS = 1.0
LONGEST_REPETITION_SECONDS = 30.0

#: Longer than any call takes: whoever waits for so long makes the call on its own.
PATIENCE_SECONDS = 300.0


class Shared(Generic[Value]):
    """
    A call whose outcome is shared by the threads that ask for it while it is under way.

    A failure is also the outcome for those that ask soon after it: a time-out of ten seconds is repeated for
    ten seconds. A failure that comes at once is not repeated.

    Args:
        monotonic: The clock that measures how long a call takes, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._under_way: Future[Value] | None = None
        self._last_failure: tuple[CertworkerError, float] | None = None

    def __call__(self, call: Callable[[], Value]) -> Value:
        """
        Return what *call* returns, or what that of another thread does.

        Raises:
            CertworkerError: The failure of that call; each thread gets a copy of its own.
        """
        while True:
            with self._lock:
                if self._last_failure and self._monotonic() < self._last_failure[1]:
                    raise copy(self._last_failure[0])
                others = self._under_way
                if others is None:
                    mine = self._under_way = Future[Value]()
            if others is None:
                return self._made(mine, call)
            try:
                return others.result(PATIENCE_SECONDS)
            except CertworkerError as failure:
                raise copy(failure) from None
            except (CancelledError, TimeoutError):
                # The other thread was ended, or hangs: the next round makes the call.
                self._end(others)

    def _made(self, mine: Future[Value], call: Callable[[], Value]) -> Value:
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
            if self._under_way is call:
                self._under_way = None
