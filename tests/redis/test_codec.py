"""
Tests of the formats of values in Redis.
"""

from __future__ import annotations

import json
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
    names_in_json,
    score_to_time,
    shown_in,
)

MOMENT = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)


class TestTimes:
    """
    Times as text and as numbers.
    """

    def test_a_time_is_written_in_utc(self) -> None:
        """
        A time is written in UTC, because workers can be in different time zones.
        """
        paris = MOMENT.astimezone(timezone(timedelta(hours=1)))

        assert encode_time(paris) == "2026-11-23T10:15:09Z"
        assert decode_time(encode_time(paris)) == MOMENT

    def test_no_time_is_an_empty_text(self) -> None:
        """
        No time is an empty text, as for a name without a planned check.
        """
        assert encode_time(None) == ""
        assert decode_time("") is None
        assert decode_time(None) is None

    @pytest.mark.parametrize("text", ["soon", "2026-11-23T10:15:09", "2026-13-01T00:00:00Z", "9" * 5_000])
    def test_an_invalid_time_is_none(self, text: str) -> None:
        """
        An invalid time, or one without a time zone, is None.
        """
        assert decode_time(text) is None

    @pytest.mark.parametrize("score", [None, float("inf"), float("nan"), 1e300])
    def test_a_score_without_a_time_is_none(self, score: float | None) -> None:
        """
        Infinity, which marks a name without a planned check, and an invalid score are None.
        """
        assert score_to_time(score) is None

    @pytest.mark.parametrize("score", [float("-inf"), -1e300, -1, 0])
    def test_a_score_before_the_earliest_time_is_due(self, score: float) -> None:
        """
        A score before the earliest time is the earliest time, and so is due.
        """
        assert score_to_time(score) == EARLIEST


class TestText:
    """
    Bytes as printable text.
    """

    @pytest.mark.parametrize(
        ("value", "text"),
        [(b"a.org", "a.org"), ("a.org", "a.org"), (None, ""), (b"\xff", "\N{REPLACEMENT CHARACTER}")],
    )
    def test_any_value_is_printable_text(self, value: bytes | str | None, text: str) -> None:
        """
        Any value becomes printable text, whether or not the connection decodes.
        """
        assert decode_text(value) == text

    def test_half_a_surrogate_pair_is_replaced(self) -> None:
        """
        A lone surrogate, which JSON can express and UTF-8 cannot, is replaced.
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
        A count is read from text, bytes and numbers.
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
        An invalid or too large value counts as 0.

        Python rejects 5,000 digits, and a count of a billion would delay a name permanently.
        """
        assert count_in(value) == 0


class TestNames:
    @pytest.mark.parametrize(
        "name", ["a.org", "xn--bcher-kva.example", "8.8.8.8", "2001:db8::1", "localhost"]
    )
    def test_a_normalized_name_is_accepted(self, name: str) -> None:
        """
        A normalized name is returned unchanged.
        """
        assert name_in(name.encode()) == name

    @pytest.mark.parametrize(
        "value",
        [None, 1, [], "", "A.org", "a b", "../x", "a.org.", "\ud800", b"\xff", "xn--a.org", "x" * 254],
    )
    def test_anything_else_is_none(self, value: object) -> None:
        """
        A value that is not a normalized name is None, because it could become a directory or a key.
        """
        assert name_in(value) is None

    @pytest.mark.parametrize(
        "value", [None, [], ["a.org", 1], ["a.org", "b c"], ["a.org"] * 101, "a.org", {}]
    )
    def test_an_invalid_list_of_names_is_none(self, value: object) -> None:
        """
        A list with an invalid name is None, because a part of the names is another certificate.
        """
        assert names_in(value) is None

    def test_equal_lists_are_parsed_once(self) -> None:
        """
        The records of a certificate have equal lists of its names. They are parsed once.
        """
        texts = [json.dumps(["a.org", "b.org"]) for _ in range(2)]

        assert names_in_json(texts[0]) == ("a.org", "b.org")
        assert names_in_json(texts[0]) is names_in_json(texts[1])


class TestJson:
    @pytest.mark.parametrize(
        "value",
        [None, b"", b"{", b"[" * 60_000, b"[NaN]", b"[1e999]", b"[Infinity]", b"9" * 5_000, b"1" * 70_000],
    )
    def test_invalid_json_is_none(self, value: bytes | None) -> None:
        """
        Invalid JSON is None, however deep or long it is.
        """
        assert json_in(value) is None

    @pytest.mark.parametrize("value", [b"[]", b"1", b'"x"', b"null", None, b"{"])
    def test_fields_are_those_of_an_object(self, value: bytes | None) -> None:
        """
        Only an object has fields.
        """
        assert fields_in(value) == {}
