"""
Tests of a simulated quarter with thousands of names.
"""

from __future__ import annotations

from datetime import timedelta

from bench.quarter import LENGTH, simulate


class TestQuarter:
    def test_all_are_renewed_evenly(self) -> None:
        """
        Each certificate is renewed before its expiry, and the busiest week has at most 1.3 times the mean.

        The benchmark checks the busiest day, because 1,500 names have random days.
        """
        quarter = simulate(1_500, orders=6)

        assert (0, 0) == (quarter.expired, quarter.old)
        assert quarter.orders.total() >= 1_500
        assert quarter.bunching(7) <= 1.3
        assert quarter.checks > 2 * 1_500 * LENGTH.days

    def test_certificates_of_one_day_are_renewed_within_the_limit(self) -> None:
        """
        If all certificates were issued on one day, the limit of the CA spreads their renewals.
        """
        quarter = simulate(300, issued_within=timedelta(days=1), orders=2)

        assert (0, 0) == (quarter.expired, quarter.old)
        assert max(quarter.orders.values()) <= 2 * 8 + 2
