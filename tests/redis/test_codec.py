"""
The formats of values in Redis.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from certworker.redis.codec import (
    EARLIEST,
    count_in,
    decode_text,
    decode_time,
    encode_time,
    fields_in,
    json_in,
    name_in,
    names_in,
    score_to_time,
    shown_in,
)

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

        assert encode_time(paris) == "2026-11-23T10:15:09Z"
        assert decode_time(encode_time(paris)) == MOMENT

    def test_no_moment_is_nothing(self) -> None:
        """
        A name without a planned check.
        """
        assert encode_time(None) == ""
        assert decode_time("") is None
        assert decode_time(None) is None

    @pytest.mark.parametrize("text", ["soon", "2026-11-23T10:15:09", "2026-13-01T00:00:00Z", "9" * 5_000])
    def test_what_is_no_moment_is_none(self, text: str) -> None:
        """
        A time without a time zone would raise at its first comparison, hours later.
        """
        assert decode_time(text) is None

    @pytest.mark.parametrize("score", [None, float("inf"), float("nan"), 1e300])
    def test_a_score_that_is_no_moment_is_none(self, score: float | None) -> None:
        """
        Infinity, which marks a name without a planned check, and invalid scores have no time.
        """
        assert score_to_time(score) is None

    @pytest.mark.parametrize("score", [float("-inf"), -1e300, -1, 0])
    def test_a_score_before_all_time_has_come(self, score: float) -> None:
        """
        A score before the earliest time is due, and hides no other name.
        """
        assert score_to_time(score) == EARLIEST


class TestText:
    """
    Bytes as text.
    """

    @pytest.mark.parametrize(
        ("value", "text"),
        [(b"a.org", "a.org"), ("a.org", "a.org"), (None, ""), (b"\xff", "\N{REPLACEMENT CHARACTER}")],
    )
    def test_any_value_is_printable_text(self, value: bytes | str | None, text: str) -> None:
        """
        Reading must not depend on who wrote, or on how the connection decodes.
        """
        assert decode_text(value) == text

    def test_half_a_surrogate_pair_is_replaced(self) -> None:
        """
        JSON can express one, and UTF-8 cannot: the next command to Redis would fail.
        """
        decode_text(decode_text("\ud800")).encode()
        shown_in("\ud800").encode()


class TestCounts:
    @pytest.mark.parametrize(
        ("value", "count"),
        [("0", 0), (b"12", 12), ("999999", 999_999), (7, 7), ("007", 7)],
    )
    def test_a_count_is_a_number(self, value: object, count: int) -> None:
        """
        As certworker and Redis write it.
        """
        assert count_in(value) == count

    @pytest.mark.parametrize(
        "value",
        [
            *(
                None,
                "",
                "-1",
                "1e3",
                "1.0",
                "inf",
                "nan",
                "9" * 7,
                "9" * 5_000,
                "\N{ARABIC-INDIC DIGIT FIVE}",
            ),
            *(True, -1, 10**6, 1.5, float("inf"), [], b"\xff", "\N{SUPERSCRIPT TWO}"),
        ],
    )
    def test_anything_else_is_none(self, value: object) -> None:
        """
        Python rejects 5,000 digits, and a count of a billion would postpone a name forever.
        """
        assert count_in(value) == 0


class TestNames:
    @pytest.mark.parametrize(
        "name", ["a.org", "xn--bcher-kva.example", "8.8.8.8", "2001:db8::1", "localhost"]
    )
    def test_a_name_is_one(self, name: str) -> None:
        """
        As it is in a certificate.
        """
        assert name_in(name.encode()) == name

    @pytest.mark.parametrize(
        "value",
        [None, 1, [], "", "A.org", "a b", "../x", "a.org.", "\ud800", b"\xff", "xn--a.org", "x" * 254],
    )
    def test_anything_else_is_none(self, value: object) -> None:
        """
        Otherwise it would become a directory, a key or a log line.
        """
        assert name_in(value) is None

    @pytest.mark.parametrize(
        "value", [None, [], ["a.org", 1], ["a.org", "b c"], ["a.org"] * 101, "a.org", {}]
    )
    def test_a_list_with_something_else_is_none(self, value: object) -> None:
        """
        A part of a certificate's names is another certificate.
        """
        assert names_in(value) is None


class TestJson:
    @pytest.mark.parametrize(
        "value",
        [None, b"", b"{", b"[" * 60_000, b"[NaN]", b"[1e999]", b"[Infinity]", b"9" * 5_000, b"1" * 70_000],
    )
    def test_what_is_none_is_none(self, value: bytes | None) -> None:
        """
        No error, however deep or long it is.
        """
        assert json_in(value) is None

    @pytest.mark.parametrize("value", [b"[]", b"1", b'"x"', b"null", None, b"{"])
    def test_fields_are_those_of_an_object(self, value: bytes | None) -> None:
        """
        A value that is no object has no fields.
        """
        assert fields_in(value) == {}
