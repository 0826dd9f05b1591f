"""
How values stand in Redis.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from certworker.ledger.text import moment_in, moment_of, text_in, written

MOMENT = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)


class TestMoments:
    """
    Moments as text and as numbers.
    """

    def test_a_moment_is_written_in_utc(self) -> None:
        """
        Workers on two hosts may live in two time zones.
        """
        paris = MOMENT.astimezone(timezone(timedelta(hours=1)))

        assert written(paris) == "2026-11-23T10:15:09Z"
        assert moment_in(written(paris)) == MOMENT

    def test_no_moment_is_nothing(self) -> None:
        """
        A name without a planned look.
        """
        assert written(None) == ""
        assert moment_in("") is None
        assert moment_in(None) is None

    @pytest.mark.parametrize("text", ["soon", "2026-11-23T10:15:09", "2026-13-01T00:00:00Z", "9" * 5_000])
    def test_what_is_no_moment_is_none(self, text: str) -> None:
        """
        A moment without a time zone would raise at the first comparison, hours later.
        """
        assert moment_in(text) is None

    @pytest.mark.parametrize("score", [None, float("inf"), float("-inf"), float("nan"), 1e300])
    def test_a_score_that_is_no_moment_is_none(self, score: float | None) -> None:
        """
        Infinity is a name without a planned look; the rest was written by others.
        """
        assert moment_of(score) is None


class TestText:
    """
    Bytes as text.
    """

    @pytest.mark.parametrize(
        ("value", "text"),
        [(b"a.org", "a.org"), ("a.org", "a.org"), (None, ""), (b"\xff", "\N{REPLACEMENT CHARACTER}")],
    )
    def test_whatever_stands_there_is_text(self, value: bytes | str | None, text: str) -> None:
        """
        Reading must not depend on who wrote, or on how the connection decodes.
        """
        assert text_in(value) == text
