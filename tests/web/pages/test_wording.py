"""
Tests of the times and numbers in words.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from certworker.web.pages.wording import (
    counted,
    first_minute,
    from_now,
    iso,
    percent,
    permille,
    round_seconds,
    seconds,
    time,
)

NOW = datetime(2026, 11, 29, 12, 0, 5, tzinfo=UTC)


class TestTimes:
    def test_a_time_is_short_for_people_and_exact_for_programs(self) -> None:
        """
        A view shows minutes, which are rounded up for a planned step. A history shows seconds, and a program
        gets RFC 3339.
        """
        assert "2026-11-29 12:00" == time(NOW)
        assert "2026-11-29 12:01" == first_minute(NOW)
        assert "2026-11-29 12:00:05" == seconds(NOW)
        assert "2026-11-29T12:00:05Z" == iso(NOW)

    @pytest.mark.parametrize(
        ("distance", "words"),
        [
            (timedelta(days=3), "in 3 days"),
            (timedelta(hours=-5), "5 hours ago"),
            (timedelta(seconds=1), "now"),
            (timedelta(0), "now"),
        ],
    )
    def test_a_distance_is_in_words(self, distance: timedelta, words: str) -> None:
        """
        A distance is in the future, in the past, or now.
        """
        assert words == from_now(NOW + distance, NOW)


class TestNumbers:
    def test_only_a_complete_share_is_100_percent(self) -> None:
        """
        A share is rounded down, and stays within its range.
        """
        assert [0, 0, 99, 100, 100] == [percent(share) for share in (-0.5, 0.009, 0.999, 1.0, 1.5)]
        assert 999 == permille(0.9999)

    def test_a_noun_follows_its_number(self) -> None:
        """
        One name is not "1 names", and thousands have a comma.
        """
        assert "1.9 s" == round_seconds(1.94)
        assert ["0 names", "1 name", "50,000 names"] == [counted(n, "name") for n in (0, 1, 50_000)]
