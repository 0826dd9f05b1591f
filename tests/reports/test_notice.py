"""
Letters that say what is wrong, what to do, and how long there is for it.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, strategies

from certworker.reports.notice import Notice, html, plain, read, sort, subject

FAILED = Notice(
    kind="failed",
    name="shop.example.org",
    code="dns.no_record",
    message="No A or AAAA record for <shop>.",
    remedy="Create: shop.example.org. A 203.0.113.7",
    days_left=12,
    next_attempt="2026-11-23 10:25 UTC",
)


class TestLetters:
    def test_cause_remedy_and_days_left_are_in_the_text(self) -> None:
        """
        Whoever reads it on a telephone needs nothing else.
        """
        text = plain([FAILED])

        assert FAILED.message in text
        assert FAILED.remedy in text
        assert "12 more days" in text
        assert FAILED.next_attempt in text

    def test_html_has_the_same_words_and_no_foreign_tags(self) -> None:
        """
        A CA or a tenant may have written part of it.
        """
        assert "&lt;shop&gt;" in html([FAILED])
        assert "<shop>" not in html([FAILED])

    def test_the_worst_comes_first_and_into_the_subject(self) -> None:
        """
        A digest is read from the top, if at all.
        """
        action = replace(FAILED, kind="action", name="z.example.org")
        notices = sort([FAILED, action])

        assert [action, FAILED] == notices
        assert "z.example.org (and 1 others): somebody has to do something" in subject(notices)

    def test_a_recovery_needs_no_remedy(self) -> None:
        """
        It is over, and how long the certificate lives is all there is to say.
        """
        text = plain([Notice("recovered", "shop.example.org", "", "", "", 89, "")])

        assert "all is well again" in text
        assert "What to do" not in text


class TestRead:
    def test_a_notice_is_read_as_it_was_written(self) -> None:
        """
        Redis stands between the two.
        """
        assert FAILED == read(json.dumps(FAILED.as_json()))

    def test_fields_of_a_later_version_do_not_matter(self) -> None:
        """
        Workers of two versions share an outbox while they are updated.
        """
        assert FAILED == read(json.dumps(FAILED.as_json() | {"later": 1}))

    @pytest.mark.parametrize(
        "changes",
        [
            {"kind": "spam"},
            {"kind": ["a"]},
            {"name": None},
            {"name": ""},
            {"remedy": 5},
            {"days_left": "12"},
            {"days_left": True},
            {"days_left": 1.5},
        ],
    )
    def test_what_is_no_notice_is_none(self, changes: dict[str, object]) -> None:
        """
        Anyone who can write to Redis can write anything.
        """
        assert read(json.dumps(FAILED.as_json() | changes)) is None

    @pytest.mark.parametrize("text", ["", "[1]", "null", "[" * 100_000, '{"kind": "failed"}'])
    def test_nor_is_anything_else(self, text: str) -> None:
        """
        Not even JSON is to be expected.
        """
        assert read(text) is None

    @given(text=strategies.text())
    def test_texts_are_printable(self, text: str) -> None:
        """
        A line feed ends a header of a mail, and a lone surrogate has no bytes.
        """
        notice = read(json.dumps(FAILED.as_json() | {"name": text or "x", "message": text}))

        assert notice
        assert notice.name.isprintable()
        assert notice.message.isprintable()
