"""
Loops that continue after any error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from certworker.errors import CertworkerError
from certworker.supervision.faults import LONGEST_PAUSE_SECONDS, Faults, unexplained
from certworker.supervision.heartbeats import BEAT_SECONDS, Heartbeat, beat, record_beats_for

#: How long a stop waits for the running step of a loop.
STOP_SECONDS = 5.0


class Postponed(Exception):
    """
    Ends a step without a success and without a log line. The step itself logs the reason, if necessary.

    The heartbeat counts this as a failure.

    Attributes:
        seconds: The seconds until the next step.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Loop:
    """
    Repeats a step, in its own thread or in the thread of its caller, until it is stopped or no work is left.

    The loop continues if the step raises an exception. Only in the main thread, SystemExit and
    KeyboardInterrupt end the loop.

    Args:
        name: The name of the thread and of its heartbeat.
        step: Does the work; returns the seconds until the next step, or None when nothing is left to do.
        seconds: The longest expected time between two beats.
        faults: Logs what the step raises and chooses the pause.
        stopping: Ends the loop when it is set. The default is a new event.

    Attributes:
        heartbeat: Beats after each step, while the loop waits, and with each :func:`beat`.
        stopping: Set when the loop must end. A step that waits must wait for this event.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None],
        *,
        seconds: float = BEAT_SECONDS,
        faults: Faults | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        self.heartbeat = Heartbeat(name, seconds)
        self.stopping = stopping or threading.Event()
        self._step = step
        self._faults = faults or Faults(name)
        self._woken = threading.Event()
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)

    def start(self) -> None:
        """
        Start the loop in its own thread; do nothing if it has already been started.
        """
        with self._starting:
            if self._thread.ident is None:
                self.heartbeat.beat()
                self._thread.start()

    def run(self) -> None:
        """
        Repeat the step in this thread until the loop is stopped or the step returns None.
        """
        record_beats_for(self.heartbeat)
        self.heartbeat.beat()
        while not self.stopping.is_set():
            self._woken.clear()
            try:
                pause = self._step()
            except Postponed as postponed:
                self._wait(postponed.seconds)
                continue
            except BaseException as error:
                if _ends_the_program(error):
                    raise
                self._wait(self._pause_after(error))
                continue
            self.heartbeat.succeed()
            self._faults.succeeded()
            if pause is None:
                break
            self._rest(pause)
        self.heartbeat.end()
        record_beats_for(None)

    def wake(self) -> None:
        """
        End the pause after a step that succeeded. A call during such a step skips the pause after it.
        """
        self._woken.set()

    def finish(self, seconds: float) -> None:
        """
        Wake the loop, wait at most *seconds* until its step returns None, then stop the loop.
        """
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=seconds)
        self.stopping.set()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """
        End the loop. If it has its own thread, wait at most *seconds* for the running step.
        """
        self.stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=seconds)

    def _pause_after(self, error: BaseException) -> float:
        try:
            return self._faults.failed(error)
        except Exception:  # the log itself fails; the failing heartbeat shows it
            return LONGEST_PAUSE_SECONDS

    def _wait(self, seconds: float) -> None:
        # A wake-up does not end this pause: a failing loop must not become a busy loop.
        self.heartbeat.fail()
        self._beat_for(seconds, self.stopping)

    def _rest(self, seconds: float) -> None:
        self._beat_for(seconds, self._woken)

    def _beat_for(self, seconds: float, end: threading.Event) -> None:
        until = time.monotonic() + seconds
        while not self.stopping.is_set() and (left := until - time.monotonic()) > 0:
            if end.wait(min(left, self.heartbeat.seconds / 2)):
                return
            self.heartbeat.beat()


def stop_all(loops: Sequence[Loop]) -> None:
    """
    Stop all *loops*: first signal each of them, then wait for each at most :data:`STOP_SECONDS`.
    """
    for loop in loops:
        loop.stopping.set()
    for loop in loops:
        loop.stop()


class Duties:
    """
    Several duties of one loop, run in order: the failure of a duty does not affect the others.

    Args:
        duties: The duties by their names in the log.
        explain: See :class:`Faults`.
    """

    def __init__(
        self,
        duties: Mapping[str, Callable[[], object]],
        explain: Callable[[BaseException], CertworkerError | None] = unexplained,
    ) -> None:
        self._duties = [(duty, Faults(name, explain)) for name, duty in duties.items()]

    def __call__(self) -> float:
        """
        Run all duties. Return 0 or, if any duty failed, the seconds until the next attempt.
        """
        pauses = [0.0]
        for duty, faults in self._duties:
            try:
                duty()
            except BaseException as error:
                pauses.append(faults.failed(error))
            else:
                faults.succeeded()
                beat()
        return max(pauses)


def _ends_the_program(error: BaseException) -> bool:
    # In another thread, these exceptions would end the thread silently.
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and isinstance(error, KeyboardInterrupt | SystemExit)
