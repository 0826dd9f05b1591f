"""
Supervision of the worker's threads: no loop ends silently, and each shows that it makes progress.

::

    step returns ──► heartbeat ──► pause ─────────────────────► next step
    step raises  ──► logged, once per kind ──► growing pause ──► next step

A failed step is no heartbeat, and neither is a step that hangs. A loop that misses two beats is stalled;
`/healthz`, `certworker health`, the metrics and `certworker doctor` name it. A step that takes long calls
:func:`beat` whenever it has made progress.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from certworker.errors import CertworkerError, Severity
from certworker.errors.machine import Unexpected

logger = logging.getLogger(__name__)

#: The usual time between two beats of a loop.
BEAT_SECONDS = 30.0

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 60.0

#: A loop gets this long to end its step when the worker stops.
STOP_SECONDS = 5.0

#: The same fault is logged again after this time, as long as it lasts.
REPEAT_SECONDS = 3600.0
#: A fault that comes and goes is logged at most so often.
SHORTEST_REPEAT_SECONDS = 60.0
#: So many kinds of faults are remembered.
MOST_KINDS = 100

_current = threading.local()


class Heartbeat:
    """
    The sign of progress of one part of the worker.

    Attributes:
        name: Which part, for people and for metrics.
        seconds: The longest legal time between two beats.
    """

    def __init__(
        self, name: str, seconds: float = BEAT_SECONDS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.seconds = seconds
        self._clock = clock
        self._last: float | None = None
        self._thread: int | None = None

    def beat(self) -> None:
        """
        Note progress, made by the calling thread. The first beat starts the count.
        """
        self._last = self._clock()
        self._thread = threading.get_ident()

    def end(self) -> None:
        """
        Expect no more beats.
        """
        self._last = None

    def silence(self) -> float | None:
        """
        Return the seconds since the last beat, or None while no beats are expected.
        """
        last = self._last
        return None if last is None else max(0.0, self._clock() - last)

    def is_stalled(self) -> bool:
        """
        Return whether two beats are missing.
        """
        return (self.silence() or 0.0) > 2 * self.seconds

    def stack(self) -> list[str]:
        """
        Return the lines that the thread of the last beat executes now, outermost first.
        """
        frame = sys._current_frames().get(self._thread or 0)
        steps = traceback.extract_stack(frame) if frame else []
        return [f"{Path(step.filename).name}:{step.lineno} {step.name}" for step in steps]


class Heartbeats:
    """
    The heartbeats of a worker.
    """

    def __init__(self) -> None:
        self._all: dict[str, Heartbeat] = {}

    def add(self, *heartbeats: Heartbeat) -> None:
        """
        Include *heartbeats*; a later one replaces an earlier one of the same name.
        """
        self._all = {**self._all, **{each.name: each for each in heartbeats}}

    def expected(self) -> Iterator[tuple[Heartbeat, float]]:
        """
        Yield each heartbeat that is expected, with the seconds since its last beat.
        """
        for each in self._all.values():
            if (silence := each.silence()) is not None:
                yield each, silence

    def stalled(self) -> list[Heartbeat]:
        """
        Return the heartbeats of which two beats are missing.
        """
        return [each for each in self._all.values() if each.is_stalled()]


def beat() -> None:
    """
    Note progress of the loop that runs in this thread; without one, do nothing.
    """
    if heartbeat := getattr(_current, "heartbeat", None):
        heartbeat.beat()


class Failing(Protocol):
    """
    What a loop does about the errors of its step: log them, and choose the pause.
    """

    def failed(self, error: BaseException) -> float:
        """
        Note *error*; return the seconds until the next step.
        """

    def over(self) -> None:
        """
        Note that a step succeeded.
        """


def unexplained(_error: BaseException) -> None:
    """
    Explain nothing.
    """
    return


class Faults:
    """
    The log of what goes wrong in one place: each kind once, with growing pauses between attempts.

    A CertworkerError is logged as its sentence, any other exception with its traceback (`worker.unexpected`).

    Args:
        place: Where, for people.
        explain: Returns the CertworkerError behind another library's exception, or None.
        clock: Seconds.
    """

    def __init__(
        self,
        place: str,
        explain: Callable[[BaseException], CertworkerError | None] = unexplained,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._explain = explain
        self._clock = clock
        self._logged: dict[object, float] = {}
        self._began: float | None = None
        self._pause = 0.0

    def failed(self, error: BaseException) -> float:
        """
        Log *error* unless its kind is known; return the seconds to wait before the next attempt.
        """
        failure = error if isinstance(error, CertworkerError) else self._explain(error)
        now = self._clock()
        if not _is_reported_by_the_job_loop(failure) and self._is_news(failure or error, now):
            self._began = now if self._began is None else self._began
            if failure:
                logger.warning("%s certworker tries again.", failure, extra={"code": failure.code})
            else:
                log_unexpected(self._place, error)
        self._pause = min(self._pause * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        return self._pause

    def over(self) -> None:
        """
        Note a success: the pauses begin again with the shortest one.
        """
        self._pause = 0.0
        if not self._logged:
            return
        now = self._clock()
        if self._began is not None:
            logger.info("%s works again after %.0f s", self._place, now - self._began)
            self._began = None
        earliest = now - SHORTEST_REPEAT_SECONDS
        self._logged = {kind: moment for kind, moment in self._logged.items() if moment > earliest}

    def _is_news(self, error: BaseException, now: float) -> bool:
        kind = _kind_of(error)
        if now - self._logged.get(kind, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        if len(self._logged) >= MOST_KINDS:
            self._logged.clear()
        self._logged[kind] = now
        return True


def log_unexpected(place: str, error: BaseException) -> None:
    """
    Log *error*, which nobody expected in *place*, with its traceback.
    """
    logger.error(
        "[%s] unexpected error in %s; certworker continues. %s",
        Unexpected.code,
        place,
        Unexpected.cure,
        extra={"code": Unexpected.code},
        exc_info=error,
    )


class Loop:
    """
    A thread that repeats a step until it is stopped, whatever the step raises.

    Args:
        name: Of the thread and of its heartbeat.
        step: Does the work; returns the seconds until the next step, or None when nothing is left to do.
        seconds: The longest legal time between two signs of progress.
        faults: Logs what the step raises and chooses the pause.
        stopping: Ends the loop when it is set.

    Attributes:
        heartbeat: Beats with each step that succeeds, while the loop waits, and with each :func:`beat`.
        stopping: Is set when the loop is to end; a step that waits waits for this.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None],
        *,
        seconds: float = BEAT_SECONDS,
        faults: Failing | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        self.heartbeat = Heartbeat(name, seconds)
        self.stopping = stopping or threading.Event()
        self._step = step
        self._faults: Failing = faults or Faults(name)
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)

    def start(self) -> None:
        """
        Begin in a thread of its own; a loop that has begun is left alone.
        """
        if self._thread.ident is None:
            self.heartbeat.beat()
            self._thread.start()

    def run(self) -> None:
        """
        Repeat the step in this thread until the loop is stopped or the step returns None.
        """
        _current.heartbeat = self.heartbeat
        self.heartbeat.beat()
        while not self.stopping.is_set():
            self._woken.clear()
            try:
                pause = self._step()
            except BaseException as error:
                if _ends_the_program(error):
                    raise
                self.stopping.wait(self._pause_after(error))
                continue
            self.heartbeat.beat()
            self._faults.over()
            if pause is None:
                break
            self._rest(pause)
        self.heartbeat.end()
        _current.heartbeat = None

    def wake(self) -> None:
        """
        End the pause after a step that succeeded.
        """
        self._woken.set()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """
        End, and wait at most *seconds* for the step that runs. Stopping a loop that never began is harmless.
        """
        self.stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=seconds)

    def _pause_after(self, error: BaseException) -> float:
        try:
            return self._faults.failed(error)
        except Exception:  # the log itself fails; the missing heartbeat shows it
            return LONGEST_PAUSE_SECONDS

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.stopping.is_set() and (left := until - time.monotonic()) > 0:
            if self._woken.wait(min(left, self.heartbeat.seconds / 2)):
                return
            self.heartbeat.beat()


def _ends_the_program(error: BaseException) -> bool:
    # In any other thread these end that thread, without a word.
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and isinstance(error, KeyboardInterrupt | SystemExit)


def _is_reported_by_the_job_loop(failure: CertworkerError | None) -> bool:
    # A Redis that nobody can use is reported once for the whole worker.
    return failure is not None and failure.code.startswith("redis.") and failure.severity is Severity.FATAL


def _kind_of(error: BaseException) -> object:
    if isinstance(error, CertworkerError):
        return error.code
    trace = traceback.extract_tb(error.__traceback__)
    return (type(error), trace[-1].filename, trace[-1].lineno) if trace else type(error)
