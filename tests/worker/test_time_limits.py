"""
Tests of the time limits of jobs.
"""

from __future__ import annotations

import threading
from threading import Event

import pytest

from certworker.worker.time_limits import TimeLimit, TimeLimits

PATIENCE_SECONDS = 30.0


@pytest.fixture
def limits() -> TimeLimits:
    """
    Return time limits with a thread of their own.
    """
    return TimeLimits()


def test_a_limit_ends_after_its_time(limits: TimeLimits) -> None:
    """
    The function is called after the time, even if a longer limit has started before.
    """
    ended, later = Event(), Event()
    TimeLimit(limits, 600, later.set).start()
    TimeLimit(limits, 0.01, ended.set).start()

    assert ended.wait(PATIENCE_SECONDS)
    assert not later.is_set()


def test_a_canceled_limit_calls_nothing(limits: TimeLimits) -> None:
    """
    A canceled limit does not call its function, and a second cancellation is no failure.
    """
    called, later = Event(), Event()
    canceled = TimeLimit(limits, 0.05, called.set)
    canceled.start()
    canceled.cancel()
    canceled.cancel()

    TimeLimit(limits, 0.06, later.set).start()
    assert later.wait(PATIENCE_SECONDS)
    assert not called.is_set()


def test_a_function_that_fails_does_not_end_the_thread(
    limits: TimeLimits, caplog: pytest.LogCaptureFixture
) -> None:
    """
    After an unexpected error of a function, which is logged, the other limits still end.
    """
    ended = Event()
    TimeLimit(limits, 0.0, {}.popitem).start()
    TimeLimit(limits, 0.01, ended.set).start()

    assert ended.wait(PATIENCE_SECONDS)
    assert "a time limit" in caplog.text


def test_all_limits_share_one_thread(limits: TimeLimits) -> None:
    """
    A hundred limits need one thread.
    """
    before = threading.active_count()
    started = [TimeLimit(limits, 600, Event().set) for _ in range(100)]
    for each in started:
        each.start()

    assert before + 1 == threading.active_count()
    for each in started:
        each.cancel()
