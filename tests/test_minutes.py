"""
Tests of moments to the minute.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import certworker
from certworker.minutes import MINUTE, first_minute, not_before

NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)

#: A planned moment that a string shows to the minute, without rounding.
CUT = re.compile(r"\{[^{}]*(?:until|next_|again|not_before|earliest)[^{}]*:[^{}]*%M\}")


class TestMinutes:
    @pytest.mark.parametrize(
        ("moment", "shown"),
        [
            (NOON, "2026-11-29 12:00 UTC"),
            (NOON + timedelta(microseconds=1), "2026-11-29 12:01 UTC"),
            (NOON + timedelta(seconds=59), "2026-11-29 12:01 UTC"),
            (datetime(2026, 12, 31, 23, 59, 1, tzinfo=UTC), "2027-01-01 00:00 UTC"),
            (LAST, "9999-12-31 23:59 UTC"),
        ],
    )
    def test_a_beginning_is_rounded_up(self, moment: datetime, shown: str) -> None:
        """
        The shown minute is not before the moment. Only after the last minute of the calendar is none.
        """
        assert shown == not_before(moment)

    @given(st.datetimes(max_value=NOON.replace(year=9999, tzinfo=None), timezones=st.just(UTC)))
    def test_the_first_minute_is_less_than_a_minute_later(self, moment: datetime) -> None:
        """
        The result is a whole minute, and less than a minute after the moment.
        """
        shown = first_minute(moment)

        assert moment <= shown < moment + MINUTE
        assert (0, 0) == (shown.second, shown.microsecond)

    def test_no_message_cuts_a_planned_moment(self) -> None:
        """
        Each message rounds the end of a pause, the next attempt and the beginning of a validity up.
        """
        package = Path(certworker.__file__).parent
        found = {path.name: CUT.findall(path.read_text("utf-8")) for path in package.rglob("*.py")}

        assert {} == {name: texts for name, texts in found.items() if texts}
        assert CUT.search('f"{full.until:%Y-%m-%d %H:%M} UTC"')
