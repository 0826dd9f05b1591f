"""
Tests of the share of the processor that the page may use.
"""

from __future__ import annotations

import pytest

from certworker.web.cpu_share import BURST_SECONDS, SHARE, CpuShare


class Clock:
    """
    A clock that advances only when a test sets it.
    """

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class TestCpuShare:
    def test_a_burst_is_free(self) -> None:
        """
        A few visitors wait for nothing.
        """
        share = CpuShare(Clock())
        share.spend(BURST_SECONDS)

        assert 0 == share.pause_seconds()

    def test_more_than_the_share_has_to_wait(self) -> None:
        """
        The time beyond the burst is paid back at the rate of the share.
        """
        clock = Clock()
        share = CpuShare(clock)
        share.spend(BURST_SECONDS + 0.1)
        assert 0.1 / SHARE == pytest.approx(share.pause_seconds())
        clock.seconds += 0.1 / SHARE + 0.001

        assert 0 == share.pause_seconds()

    def test_a_flood_gets_the_share_in_the_long_run(self) -> None:
        """
        Requests without end use the share of the time, and the burst.
        """
        clock = Clock()
        share, used = CpuShare(clock), 0.0
        while clock.seconds < 600:
            clock.seconds += share.pause_seconds() + 0.01
            share.spend(0.01)
            used += 0.01

        assert used == pytest.approx(600 * SHARE + BURST_SECONDS, rel=0.05)

    def test_unused_time_is_not_saved(self) -> None:
        """
        An idle page saves no more than one burst.
        """
        clock = Clock()
        share = CpuShare(clock)
        clock.seconds += 3600
        share.spend(BURST_SECONDS + 0.1)

        assert 0 < share.pause_seconds()
