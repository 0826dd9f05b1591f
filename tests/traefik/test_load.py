"""
Tests of the load of Traefik: its reloads, and the time until it serves new certificates.
"""

from __future__ import annotations

from certworker.traefik.load import HOUR_SECONDS, HOURS, ProxyLoad


class Clock:
    """
    Return the seconds that a test sets.
    """

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_it_counts_reloads_and_measures_the_time_until_serving() -> None:
    """
    The report has the sum of the reloads, and the mean and the maximum of the seconds.
    """
    clock = Clock()
    load = ProxyLoad(clock)
    load.changed()
    load.served(1.0)
    clock.seconds += HOUR_SECONDS
    load.changed()
    load.served(4.0)

    assert {"reloads": 2, "served": 2, "seconds": 2.5, "slowest": 4.0} == load.report()


def test_it_forgets_after_a_day() -> None:
    """
    The report of a day later is empty, so the memory of a worker does not grow.
    """
    clock = Clock()
    load = ProxyLoad(clock)
    load.changed()
    load.served(1.0)
    clock.seconds += HOURS * HOUR_SECONDS

    assert {"reloads": 0, "served": 0, "seconds": 0.0, "slowest": 0.0} == load.report()
    assert {} == load._hours
