"""
Times in the headers of HTTP responses.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.http_dates import response_date, retry_after

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("120", NOW + timedelta(seconds=120)),
            (" 0 ", NOW),
            ("Mon, 23 Nov 2026 10:05:00 GMT", NOW + timedelta(minutes=5)),
            ("Mon, 23 Nov 2026 09:00:00 GMT", NOW - timedelta(hours=1)),
            ("Mon, 23 Nov 2026 11:05:00 +0100", NOW + timedelta(minutes=5)),
            ("Mon, 23 Nov 2026 10:05:00 -0000", NOW + timedelta(minutes=5)),
            ("99999999999999999999", NOW + timedelta(seconds=999999999)),
        ],
    )
    def test_seconds_and_dates_are_both_valid(self, header: str, expected: datetime) -> None:
        """
        The function accepts seconds and dates, the two formats of RFC 9110.
        """
        assert expected == retry_after({"Retry-After": header}, NOW)

    @pytest.mark.parametrize("header", ["", "soon", "-5", "1.5", "²", "Mon, 99 Foo 2026"])
    def test_another_value_is_ignored(self, header: str) -> None:
        """
        An invalid Retry-After is ignored.
        """
        assert retry_after({"Retry-After": header}, NOW) is None

    @given(st.text(max_size=60))
    def test_no_header_raises_an_exception(self, header: str) -> None:
        """
        No value of a CA raises an unexpected exception.
        """
        found = retry_after({"Retry-After": header}, NOW)

        assert found is None or found.tzinfo is not None


class TestResponseDate:
    @pytest.mark.parametrize(
        ("header", "expected"), [("Mon, 23 Nov 2026 10:00:00 GMT", NOW), ("", None), ("yesterday", None)]
    )
    def test_it_is_the_time_of_the_server(self, header: str, expected: datetime | None) -> None:
        """
        The function returns the date of the response, or None without a valid date.
        """
        assert response_date({"Date": header}) == expected
