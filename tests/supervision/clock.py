"""
A clock for heartbeats and faults.
"""

from __future__ import annotations


class Clock:
    """
    Seconds that pass when the test adds them.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """
        Return the time.
        """
        return self.now
