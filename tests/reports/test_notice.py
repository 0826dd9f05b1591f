"""
Letters that say what is wrong, what to do, and how long there is for it.
"""

from __future__ import annotations

from dataclasses import replace

from certworker.reports.notice import Notice, html, plain, read, subject

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
        notices = read([FAILED.as_json(), action.as_json()])

        assert [action, FAILED] == notices
        assert "z.example.org (and 1 others): somebody has to do something" in subject(notices)

    def test_what_is_no_notice_is_left_out(self) -> None:
        """
        Others can write to Redis, too.
        """
        assert [] == read([{}, {"kind": "failed"}, FAILED.as_json() | {"kind": "spam"}])

    def test_a_recovery_needs_no_remedy(self) -> None:
        """
        It is over, and how long the certificate lives is all there is to say.
        """
        text = plain([Notice("recovered", "shop.example.org", "", "", "", 89, "")])

        assert "all is well again" in text
        assert "What to do" not in text
