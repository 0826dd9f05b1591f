"""
A clock for the servers of these tests.
"""

from __future__ import annotations

import pytest

from certworker.http import throttle


class Clock:
    """
    A clock that advances only when a test sets it.
    """

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """
    Install a clock for the servers that the test opens afterwards.
    """
    clock = Clock()
    monkeypatch.setattr(throttle, "monotonic", clock)
    return clock
