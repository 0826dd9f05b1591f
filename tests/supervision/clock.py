"""
A clock for the tests of heartbeats and faults.
"""

from __future__ import annotations


class Clock:
    """
    A clock that advances only when a test adds seconds.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """
        Return the current time in seconds.
        """
        return self.now
