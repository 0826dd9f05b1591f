"""
The log lines of long work.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from certworker.renewal.progress import Progress


class TestProgress:
    def test_a_line_every_ten_seconds_has_the_rate_and_the_time_left(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An operator who moves 50,000 certificates sees how long it takes.
        """
        now = [datetime(2026, 11, 28, tzinfo=UTC)]
        progress = Progress(50_000, lambda: now[0])
        with caplog.at_level(logging.INFO, "certworker"):
            for seconds in range(1, 26):
                now[0] += timedelta(seconds=1)
                progress.add(500, adopted=400)
                assert len(caplog.messages) == seconds // 10

        assert caplog.messages[-1].endswith(
            ": 10000 of 50000 names done, 8000 adopted, 500/s, 80 seconds left"
        )
        assert 10_000 == progress.adopted

    def test_short_work_has_no_line(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A small volume is compared every hour without any line.
        """
        now = datetime(2026, 11, 28, tzinfo=UTC)
        with caplog.at_level(logging.INFO, "certworker"):
            Progress(3, lambda: now).add(3, adopted=0)

        assert [] == caplog.messages
