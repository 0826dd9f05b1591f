"""
Calls whose outcome threads share.
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
    A call that a test ends.
    """

    def __init__(self, ended: Callable[[], str]) -> None:
        self.count = 0
        self.goes_on = Event()
        self._ended = ended

    def __call__(self) -> str:
        self.count += 1
        self.goes_on.wait(30)
        return self._ended()


def unreachable() -> str:
    """
    Fail as a CA that is away.
    """
    raise CaUnreachable(host="ca.example", reason="time-out")


def killed() -> str:
    """
    End as a job whose time is over.
    """
    raise KeyboardInterrupt


def asked_together(shared: Shared[str], call: Call) -> list[Future[str]]:
    """
    Let many threads ask before *call* ends, and return what each got.
    """
    with ThreadPoolExecutor(THREADS) as slots:
        futures = [slots.submit(shared, call) for _ in range(THREADS)]
        wait_until(lambda: waiting(shared) == THREADS - 1 or None, lambda: "not all threads wait")
        call.goes_on.set()
    return futures


def waiting(shared: Shared[str]) -> int:
    """
    Return how many threads wait for the call that is under way.
    """
    under_way = shared._running
    return len(under_way._condition._waiters) if under_way else 0  # type: ignore[attr-defined] # private


class TestShared:
    def test_threads_share_one_call(self) -> None:
        """
        All slots of a worker begin with the CA's directory.
        """
        call = Call(lambda: "directory")

        assert ["directory"] * THREADS == [each.result() for each in asked_together(Shared(), call)]
        assert 1 == call.count

    def test_they_share_its_failure(self) -> None:
        """
        A CA that does not answer is waited for once; each thread gets a failure of its own.
        """
        call = Call(unreachable)
        failures = [each.exception() for each in asked_together(Shared(), call)]

        assert {CaUnreachable} == {type(failure) for failure in failures}
        assert THREADS == len(set(map(id, failures)))
        assert 1 == call.count

    def test_the_next_call_is_made_again(self) -> None:
        """
        What is known is the caller's to keep.
        """
        shared, call = Shared[str](), Call(lambda: "directory")
        call.goes_on.set()

        shared(call)
        shared(call)

        assert 2 == call.count

    def test_a_thread_that_is_ended_takes_no_other_with_it(self) -> None:
        """
        The time of a job may be over while others wait for its answer: one of them asks instead.
        """
        ends = [killed]
        call = Call(lambda: ends.pop()() if ends else "directory")
        ended = asked_together(Shared(), call)

        assert THREADS - 1 == sum(each.exception() is None for each in ended)
        assert [] == ends

    def test_a_thread_that_hangs_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A thread that hangs does not block the others for long.
        """
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
        shared, hanging = Shared[str](), Call(lambda: "late")
        with ThreadPoolExecutor(1) as slots:
            late = slots.submit(shared, hanging)
            wait_until(lambda: hanging.count or None, lambda: "it has not begun")

            assert "directory" == shared(lambda: "directory")

            hanging.goes_on.set()
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
        A hundred jobs in a row spend at most half of their time with a CA that is away.
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
