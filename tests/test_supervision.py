"""
Loops that continue after any error, and show whether they make progress.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from certworker.errors import CertworkerError
from certworker.errors.machine import VolumeFull
from certworker.errors.redis import RedisUnreachable
from certworker.supervision import (
    LONGEST_PAUSE_SECONDS,
    MOST_KINDS,
    REPEAT_SECONDS,
    SHORTEST_REPEAT_SECONDS,
    Faults,
    Heartbeat,
    Heartbeats,
    Loop,
    beat,
)
from tests.servers.worker import wait_until


class Clock:
    """
    Seconds that pass when the test says so.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """
        Return the time.
        """
        return self.now


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


class TestHeartbeat:
    def test_none_is_expected_before_the_first_and_after_the_end(self) -> None:
        """
        A part that is switched off or has done all of its work is not stalled.
        """
        clock = Clock()
        heartbeat = Heartbeat("labels", 10, clock=clock)
        clock.now += 1000
        assert (None, False) == (heartbeat.silence(), heartbeat.is_stalled())

        heartbeat.beat()
        clock.now += 1000
        assert heartbeat.is_stalled()

        heartbeat.end()
        assert (None, False) == (heartbeat.silence(), heartbeat.is_stalled())

    def test_two_missing_beats_are_a_stall_and_one_is_not(self) -> None:
        """
        A single late beat is a busy machine; the next beat ends a stall.
        """
        clock = Clock()
        heartbeat = Heartbeat("scheduler", 10, clock=clock)
        heartbeat.beat()
        clock.now += 20
        assert not heartbeat.is_stalled()

        clock.now += 0.1
        assert heartbeat.is_stalled()

        heartbeat.beat()
        assert not heartbeat.is_stalled()

    def test_the_stack_shows_where_its_thread_waits(self) -> None:
        """
        A stalled loop is reported with the call that does not return.
        """
        heartbeat, waits, end = Heartbeat("jobs"), threading.Event(), threading.Event()

        def hang_here() -> None:
            heartbeat.beat()
            waits.set()
            end.wait(30)

        thread = threading.Thread(target=hang_here)
        thread.start()
        happens(waits)
        stack = heartbeat.stack()
        end.set()
        thread.join()

        assert any(line.startswith("test_supervision.py:") and line.endswith(" hang_here") for line in stack)
        assert [] == Heartbeat("never began").stack()


class TestHeartbeats:
    def test_it_names_what_is_stalled(self) -> None:
        """
        Other parts stay out of the list, and those of which nothing is expected, too.
        """
        clock, heartbeats = Clock(), Heartbeats()
        slow, quick, off = (Heartbeat(name, 10, clock=clock) for name in ("slow", "quick", "off"))
        heartbeats.add(slow, quick)
        heartbeats.add(off)
        slow.beat()
        clock.now += 21
        quick.beat()

        assert ["slow"] == [each.name for each in heartbeats.stalled()]
        assert {"slow": 21.0, "quick": 0.0} == {each.name: silence for each, silence in heartbeats.expected()}


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
        A loop that fails for ever is stalled although its thread lives, and is well again at once.
        """
        clock, broken, good = Clock(), threading.Event(), threading.Event()
        failed = threading.Event()
        broken.set()

        def step() -> float:
            if broken.is_set():
                failed.set()
                raise ValueError("odd")
            good.set()
            return 60

        loop = Loop("maintenance", step)
        loop.heartbeat = Heartbeat("maintenance", 10, clock=clock)
        with running(loop):
            happens(failed)
            clock.now += 21
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
        However deep in the work: the caller need not hand anything down.
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

    def test_progress_outside_of_a_loop_is_nobodys(self) -> None:
        """
        The same work runs in commands, where nothing expects a beat.
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

        with running(Loop("reloads", step)) as loop:
            for count in range(1, 5):
                wait_until(lambda count=count: len(steps) == count or None, lambda: str(steps))  # type: ignore[misc]
                loop.wake()

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
        There these two have a meaning: whoever sent them wants the process to end.
        """

        def step() -> float:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Loop("jobs", step).run()


def raised_by(step: Callable[[], object]) -> BaseException:
    """
    What *step* raises.
    """
    try:
        step()
    except Exception as error:
        return error
    raise AssertionError("nothing")


def failing(text: str = "odd") -> BaseException:
    """
    An error that was raised, always in the same place.
    """
    return raised_by(lambda: int(text))


class TestFaults:
    @pytest.fixture
    def clock(self) -> Clock:
        """
        The time.
        """
        return Clock()

    @pytest.fixture
    def faults(self, clock: Clock) -> Faults:
        """
        Those of the maintenance, which knows what Redis means.
        """

        def explain(error: BaseException) -> CertworkerError | None:
            return (
                RedisUnreachable(address="redis:6379", reason=error) if isinstance(error, OSError) else None
            )

        return Faults("maintenance", explain, clock=clock)

    def test_pauses_grow_to_a_minute_and_begin_again_after_a_success(self, faults: Faults) -> None:
        """
        What fails at once must not fail a thousand times a second.
        """
        pauses = [faults.failed(failing()) for _ in range(12)]

        assert [0.25, 0.5, 1, 2] == pauses[:4]
        assert [LONGEST_PAUSE_SECONDS] * 3 == pauses[-3:]
        faults.over()
        assert 0.25 == faults.failed(failing())

    def test_a_kind_is_logged_once_until_it_is_over(
        self, faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Whatever its text is; another place in the code is another kind. The recovery is logged, too.
        """
        caplog.set_level(logging.INFO)
        for number in range(5):
            faults.failed(failing(f"odd {number}"))
        faults.failed(raised_by(lambda: float("odd")))
        clock.now += SHORTEST_REPEAT_SECONDS
        faults.over()
        faults.over()
        faults.failed(failing())

        assert ["ERROR", "ERROR", "INFO", "ERROR"] == [line.levelname for line in caplog.records]
        assert "maintenance works again after 60 s" in caplog.text

    def test_what_lasts_is_logged_every_hour(
        self, faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The log of yesterday may be gone.
        """
        for _ in range(6):
            faults.failed(failing())
            clock.now += REPEAT_SECONDS / 2

        assert 3 == len(caplog.records)

    def test_what_comes_and_goes_is_logged_once_a_minute(
        self, faults: Faults, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A loop with four steps a second, of which every second one fails, must not fill the log.
        """
        for _ in range(100):
            faults.failed(failing())
            clock.now += 1
            faults.over()

        assert 2 == len(caplog.records)

    def test_an_expected_failure_is_a_sentence(
        self, faults: Faults, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        It has a code and a remedy, and needs no traceback.
        """
        failure = VolumeFull(path="/certificates", reason="No space left on device")
        faults.failed(failure)
        faults.failed(failure)

        (line,) = caplog.records
        assert f"{failure} certworker tries again." == line.message
        assert ("fs.full", None) == (line.__dict__["code"], line.exc_info)

    def test_a_redis_that_nobody_can_use_is_reported_by_the_job_loop_alone(
        self, faults: Faults, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Ten loops would report the same ten times.
        """
        faults.failed(ConnectionError("refused"))
        faults.over()

        assert [] == caplog.records

    def test_kinds_without_number_take_no_memory_without_bound(self, faults: Faults) -> None:
        """
        A worker runs for years.
        """
        for number in range(3 * MOST_KINDS):
            faults.failed(type(f"Error{number}", (Exception,), {})())

        assert len(faults._logged) <= MOST_KINDS


def test_the_callable_of_a_loop_may_be_any(caplog: pytest.LogCaptureFixture) -> None:
    """
    An exception that was never raised has no traceback, and is logged all the same.
    """
    silent: Callable[[], BaseException] = ValueError
    Faults("maintenance").failed(silent())

    assert "unexpected error in maintenance" in caplog.text
