"""
Loops that continue after any error, and show whether they make progress.
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
    What the Rust part of the cryptography library raises: no subclass of Exception.
    """


@contextmanager
def running(loop: Loop) -> Iterator[Loop]:
    """
    Run *loop* for the length of the block.
    """
    loop.start()
    try:
        yield loop
    finally:
        loop.stop()


def happens(event: threading.Event) -> None:
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
        The error is logged with its traceback, and the next step follows.
        """
        errors, done = [error], threading.Event()

        def step() -> float:
            if errors:
                raise errors.pop()
            done.set()
            return 60

        with running(Loop("maintenance", step)):
            happens(done)

        (line,) = [each for each in caplog.records if each.levelname == "ERROR"]
        assert "[worker.unexpected] unexpected error in maintenance" in line.message
        assert line.__dict__["code"] == "worker.unexpected"
        assert line.exc_info
        assert line.exc_info[1] is error

    def test_a_failing_step_is_no_heartbeat_and_the_next_good_one_is(self) -> None:
        """
        A loop whose steps all fail is stalled although its thread runs. One success ends the stall.
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
            happens(good)
            wait_until(lambda: None if loop.heartbeat.is_stalled() else True, lambda: "still stalled")

    def test_it_beats_while_it_waits(self) -> None:
        """
        An hour between two rounds is no stall.
        """
        with running(Loop("maintenance", lambda: 3600, seconds=0.05)) as loop:
            first = loop.heartbeat._last
            wait_until(lambda: loop.heartbeat._last != first or None, lambda: "no beat")

    def test_a_step_that_logged_its_own_failure_is_no_success(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The loop adds no line of its own, tries again, and counts the time as that of a failure.
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

    def test_the_last_step_may_be_waited_for(self) -> None:
        """
        A loop that has something to do at its end does it before the worker exits.
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

    def test_a_step_that_hangs_is_a_stall(self) -> None:
        """
        Nothing beats for it.
        """
        clock, hangs, end = Clock(), threading.Event(), threading.Event()

        def step() -> float:
            hangs.set()
            end.wait(30)
            return 0

        loop = Loop("labels", step)
        loop.heartbeat = Heartbeat("labels", 10, clock=clock)
        with running(loop):
            happens(hangs)
            clock.now += 21
            stalled = loop.heartbeat.is_stalled()
            end.set()

        assert stalled

    def test_long_work_beats_where_it_makes_progress(self) -> None:
        """
        Any function of the step can beat.
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
            happens(worked)
            stalled = loop.heartbeat.is_stalled()
            end.set()

        assert not stalled

    def test_progress_outside_of_a_loop_has_no_effect(self) -> None:
        """
        Commands run the same functions without a loop.
        """
        beat()

    def test_a_step_that_has_nothing_left_to_do_ends_the_loop(self) -> None:
        """
        Its heartbeat is not expected any more.
        """
        loop = Loop("own_domains", lambda: None)
        loop.start()
        wait_until(lambda: loop.heartbeat.silence() is None or None, lambda: "it goes on")
        loop.stop()

    def test_waking_it_ends_the_pause(self) -> None:
        """
        What comes in during a step or a pause is seen at once.
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

    def test_two_starts_begin_it_once(self) -> None:
        """
        A hundred jobs that begin at once all start the loop that renews their leases.
        """
        for _ in range(20):
            loop = Loop("leases", lambda: 60)
            with ThreadPoolExecutor(100) as jobs:
                list(jobs.map(lambda _, loop=loop: loop.start(), range(100)))
            loop.stop()

    def test_stopping_one_that_never_began_is_harmless(self) -> None:
        """
        A worker may be stopped at any moment of its start; what starts later ends at once.
        """
        steps: list[int] = []
        loop = Loop("maintenance", lambda: steps.append(1))
        loop.stop()
        loop.start()
        loop.stop()
        loop.start()

        assert [] == steps

    def test_it_ends_in_the_midst_of_a_pause(self) -> None:
        """
        SIGTERM does not wait for the growing pause of a fault.
        """
        failed = threading.Event()

        def step() -> float:
            failed.set()
            raise ValueError("odd")

        loop = Loop("maintenance", step)
        with running(loop):
            happens(failed)
        assert not loop._thread.is_alive()

    def test_a_log_that_fails_ends_no_loop(self) -> None:
        """
        Not even the report of an error may end it.
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
            happens(reported)
            assert loop._thread.is_alive()

    def test_in_the_main_thread_the_end_of_the_program_is_one(self) -> None:
        """
        In the main thread both signals end the process.
        """

        def step() -> float:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Loop("jobs", step).run()


class TestDuties:
    def test_the_failure_of_one_does_not_cost_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        All are done, in their order; what failed is logged by name, once, with a growing pause.
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
        assert "the first duty works again" in again.message
