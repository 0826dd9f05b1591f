"""
Test calls whose outcome threads share.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from certworker.acme import sharing as module
from certworker.acme.sharing import LONGEST_REPETITION_SECONDS, Shared
from certworker.errors import CertworkerError
from certworker.errors.ca import CaUnreachable
from tests.servers.worker import wait_until

THREADS = 8


class Seconds:
    """
    A clock that a test sets.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Call:
    """
    A call that waits until a test releases it.
    """

    def __init__(self, ended: Callable[[], str]) -> None:
        self.count = 0
        self.released = Event()
        self._ended = ended

    def __call__(self) -> str:
        self.count += 1
        self.released.wait(30)
        return self._ended()


def unreachable() -> str:
    """
    Fail like a request to an unreachable CA.
    """
    raise CaUnreachable(host="ca.example", reason="timeout")


def killed() -> str:
    """
    Fail like a job that has reached its timeout.
    """
    raise KeyboardInterrupt


def results_together(shared: Shared[str], call: Call) -> list[Future[str]]:
    """
    Let several threads call *shared* before *call* ends, and return their results.
    """
    with ThreadPoolExecutor(THREADS) as slots:
        futures = [slots.submit(shared, call) for _ in range(THREADS)]
        wait_until(lambda: waiting(shared) == THREADS - 1 or None, lambda: "not all threads wait")
        call.released.set()
    return futures


def waiting(shared: Shared[str]) -> int:
    """
    Return the number of threads that wait for the running call.
    """
    running = shared._running
    return len(running._condition._waiters) if running else 0  # type: ignore[attr-defined] # private


class TestShared:
    def test_threads_share_one_call(self) -> None:
        """
        Several threads that need the directory of the CA share one call.
        """
        call = Call(lambda: "directory")

        assert ["directory"] * THREADS == [each.result() for each in results_together(Shared(), call)]
        assert 1 == call.count

    def test_threads_share_a_failure(self) -> None:
        """
        The threads wait once for a silent CA, and each thread gets its own exception.
        """
        call = Call(unreachable)
        failures = [each.exception() for each in results_together(Shared(), call)]

        assert {CaUnreachable} == {type(failure) for failure in failures}
        assert THREADS == len(set(map(id, failures)))
        assert 1 == call.count

    def test_a_later_call_is_made_again(self) -> None:
        """
        A result is shared only during its call. The caller caches it.
        """
        shared, call = Shared[str](), Call(lambda: "directory")
        call.released.set()

        shared(call)
        shared(call)

        assert 2 == call.count

    def test_another_thread_repeats_the_call_of_a_killed_thread(self) -> None:
        """
        Another thread repeats the call if the job of the calling thread reaches its timeout.
        """
        ends = [killed]
        call = Call(lambda: ends.pop()() if ends else "directory")
        ended = results_together(Shared(), call)

        assert THREADS - 1 == sum(each.exception() is None for each in ended)
        assert [] == ends

    def test_the_wait_for_a_hanging_thread_is_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The other threads stop waiting for a hanging thread after a timeout.
        """
        monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.05)
        shared, hanging = Shared[str](), Call(lambda: "late")
        with ThreadPoolExecutor(1) as slots:
            late = slots.submit(shared, hanging)
            wait_until(lambda: hanging.count or None, lambda: "the call has not started")

            assert "directory" == shared(lambda: "directory")

            hanging.released.set()
        assert "late" == late.result()


class TestRepetition:
    @pytest.mark.parametrize(
        ("took", "after", "calls"),
        [
            (0.9, 0.0, 2),
            (10.0, 9.0, 1),
            (10.0, 10.0, 2),
            (1000.0, LONGEST_REPETITION_SECONDS - 1, 1),
            (1000.0, LONGEST_REPETITION_SECONDS, 2),
        ],
    )
    def test_a_failure_is_repeated_for_as_long_as_it_took(
        self, took: float, after: float, calls: int
    ) -> None:
        """
        A failure is repeated for the duration of its call. Jobs wait at most half of the time for a
        silent CA.
        """
        seconds = Seconds()
        shared = Shared[str](seconds)
        made = []

        def call() -> str:
            made.append(seconds.now)
            seconds.now += took
            return unreachable()

        for _ in range(2):
            with pytest.raises(CertworkerError):
                shared(call)
            seconds.now += after

        assert calls == len(made)
