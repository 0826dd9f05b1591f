"""
Tests of loops, which continue after any error and show their progress.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from certworker.supervision import Duties, Faults, Heartbeat, Loop, Postponed, beat
from tests.servers.worker import wait_until
from tests.supervision.clock import Clock


class PanicException(BaseException):
    """
    An exception like that of the Rust code of cryptography, which is not a subclass of Exception.
    """


@contextmanager
def running(loop: Loop) -> Iterator[Loop]:
    """
    Run *loop* during the block.
    """
    loop.start()
    try:
        yield loop
    finally:
        loop.stop()


def wait_for(event: threading.Event) -> None:
    """
    Wait for *event*.
    """
    assert event.wait(30)


class TestLoop:
    @pytest.mark.parametrize(
        "error", [ValueError("odd"), PanicException("rust"), SystemExit(3), RecursionError(), MemoryError()]
    )
    def test_it_continues_after_any_error(
        self, error: BaseException, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        After any error, which is logged with its traceback, the loop runs the next step.
        """
        errors, done = [error], threading.Event()

        def step() -> float:
            if errors:
                raise errors.pop()
            done.set()
            return 60

        with running(Loop("maintenance", step)):
            wait_for(done)

        (line,) = [each for each in caplog.records if each.levelname == "ERROR"]
        assert "[worker.unexpected] unexpected error in maintenance" in line.message
        assert line.__dict__["code"] == "worker.unexpected"
        assert line.exc_info
        assert line.exc_info[1] is error

    def test_a_failed_step_is_no_heartbeat(self) -> None:
        """
        A loop whose steps all fail is stalled, and one successful step ends the stall.
        """
        clock, broken, good = Clock(), threading.Event(), threading.Event()
        failed = threading.Semaphore(0)
        broken.set()

        def step() -> float:
            if broken.is_set():
                beat()
                failed.release()
                raise ValueError("odd")
            good.set()
            return 60

        loop = Loop("maintenance", step)
        loop.heartbeat = Heartbeat("maintenance", 10, clock=clock)
        with running(loop):
            assert failed.acquire(timeout=30)
            assert failed.acquire(timeout=30)
            assert not loop.heartbeat.is_stalled()
            clock.now += 21
            assert failed.acquire(timeout=30)
            assert loop.heartbeat.is_stalled()

            broken.clear()
            wait_for(good)
            wait_until(lambda: None if loop.heartbeat.is_stalled() else True, lambda: "still stalled")

    def test_a_waiting_loop_has_heartbeats(self) -> None:
        """
        A loop has heartbeats while it waits for its next step, even for an hour.
        """
        with running(Loop("maintenance", lambda: 3600, seconds=0.05)) as loop:
            first = loop.heartbeat._last
            wait_until(lambda: loop.heartbeat._last != first or None, lambda: "no beat")

    def test_a_postponed_step_is_no_success(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A step that raises Postponed is retried and counts as failed, without a log line of the loop.
        """
        clock, tried = Clock(), threading.Semaphore(0)

        def step() -> float:
            tried.release()
            raise Postponed(0.01)

        loop = Loop("jobs", step)
        loop.heartbeat = Heartbeat("jobs", 10, clock=clock)
        with running(loop):
            assert tried.acquire(timeout=30)
            assert tried.acquire(timeout=30)
            clock.now += 21
            assert tried.acquire(timeout=30)
            assert loop.heartbeat.is_stalled()

        assert [] == caplog.records

    def test_the_last_step_can_be_awaited(self) -> None:
        """
        The method `finish` waits until a loop has completed its last step.
        """
        ending, steps = threading.Event(), list[str]()

        def step() -> float | None:
            steps.append("last" if ending.is_set() else "first")
            return None if ending.is_set() else 3600

        loop = Loop("reloads", step)
        loop.finish(30)
        loop = Loop("reloads", step)
        loop.start()
        wait_until(lambda: steps or None, lambda: "no step")
        ending.set()
        loop.finish(30)

        assert ["first", "last"] == steps

    def test_a_hanging_step_is_a_stall(self) -> None:
        """
        A step that does not return has no heartbeat, so its loop is stalled.
        """
        clock, hangs, end = Clock(), threading.Event(), threading.Event()

        def step() -> float:
            hangs.set()
            end.wait(30)
            return 0

        loop = Loop("labels", step)
        loop.heartbeat = Heartbeat("labels", 10, clock=clock)
        with running(loop):
            wait_for(hangs)
            clock.now += 21
            stalled = loop.heartbeat.is_stalled()
            end.set()

        assert stalled

    def test_a_long_step_can_have_heartbeats(self) -> None:
        """
        A function of a long step can call `beat`, so that its loop is not stalled.
        """
        clock, worked, end = Clock(), threading.Event(), threading.Event()

        def step() -> float:
            for _ in range(10):
                clock.now += 15
                beat()
            worked.set()
            end.wait(30)
            return 0

        loop = Loop("maintenance", step)
        loop.heartbeat = Heartbeat("maintenance", 10, clock=clock)
        with running(loop):
            wait_for(worked)
            stalled = loop.heartbeat.is_stalled()
            end.set()

        assert not stalled

    def test_a_heartbeat_outside_of_a_loop_has_no_effect(self) -> None:
        """
        A call of `beat` outside of a loop, as in commands, has no effect.
        """
        beat()

    def test_a_step_that_returns_none_ends_the_loop(self) -> None:
        """
        A step that returns None ends the loop, and no heartbeat is expected.
        """
        loop = Loop("own_domains", lambda: None)
        loop.start()
        wait_until(lambda: loop.heartbeat.silence() is None or None, lambda: "the loop continues")
        loop.stop()

    def test_waking_ends_the_delay(self) -> None:
        """
        A call of `wake` during a step or a delay leads to the next step immediately.
        """
        steps: list[int] = []

        def step() -> float:
            steps.append(1)
            return 3600

        def has_made(count: int) -> bool | None:
            return len(steps) == count or None

        with running(Loop("reloads", step)) as loop:
            for count in range(1, 5):
                wait_until(partial(has_made, count), lambda: str(steps))
                loop.wake()

    def test_several_starts_are_one(self) -> None:
        """
        A loop that a hundred jobs start at the same time starts once.
        """
        for _ in range(20):
            loop = Loop("leases", lambda: 60)
            with ThreadPoolExecutor(100) as jobs:
                list(jobs.map(lambda _, loop=loop: loop.start(), range(100)))
            loop.stop()

    def test_a_loop_that_was_not_started_can_be_stopped(self) -> None:
        """
        Stopping a loop that was not started succeeds, and a later start runs no step.
        """
        steps: list[int] = []
        loop = Loop("maintenance", lambda: steps.append(1))
        loop.stop()
        loop.start()
        loop.stop()
        loop.start()

        assert [] == steps

    def test_a_stop_ends_the_delay(self) -> None:
        """
        A stop ends the delay after a fault.
        """
        failed = threading.Event()

        def step() -> float:
            failed.set()
            raise ValueError("odd")

        loop = Loop("maintenance", step)
        with running(loop):
            wait_for(failed)
        assert not loop._thread.is_alive()

    def test_a_failure_of_the_log_ends_no_loop(self) -> None:
        """
        A loop continues even if the report of an error raises.
        """

        class Broken(Faults):
            def failed(self, error: BaseException) -> float:
                reported.set()
                raise ValueError("the log") from error

        reported = threading.Event()

        def step() -> float:
            raise ValueError("odd")

        loop = Loop("maintenance", step, faults=Broken("maintenance"))
        with running(loop):
            wait_for(reported)
            assert loop._thread.is_alive()

    def test_the_end_of_the_program_ends_a_loop_in_the_main_thread(self) -> None:
        """
        In the main thread, KeyboardInterrupt ends the loop.
        """

        def step() -> float:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Loop("jobs", step).run()


class TestDuties:
    def test_the_failure_of_one_duty_does_not_affect_the_others(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        All duties run in their order. A failed one is logged once with its name, with a growing delay.
        """
        caplog.set_level(logging.INFO)
        broken, done = [True], list[str]()

        def first() -> None:
            done.append("first")
            if broken[0]:
                raise ValueError("odd")

        duties = Duties({"the first duty": first, "the second duty": lambda: done.append("second")})
        pauses = [duties(), duties()]
        broken[0] = False
        pauses.append(duties())

        assert [0.25, 0.5, 0] == pauses
        assert ["first", "second"] * 3 == done
        failed, again = caplog.records
        assert "unexpected error in the first duty" in failed.message
        assert "the first duty recovered" in again.message
