"""
The texts of notifications: cause, remedy, and the remaining time.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, strategies

from certworker.notify.message import TEXTS, InService, Notification, html, plain, read, short, sort, subject

FAILED = Notification(
    kind="failed",
    name="shop.example.org",
    code="dns.no_record",
    message="No A or AAAA record for <shop>.",
    remedy="Create: shop.example.org. A 203.0.113.7",
    in_service="valid",
    days_left=12,
    next_attempt="2026-11-23T10:25:00Z",
    moment="2026-11-23T10:15:00Z",
    id="5f0c1e7d9b3a2468",
    instance="example.org",
    host="worker-1",
    docs="certworker explain dns.no_record",
)
RECOVERED = replace(FAILED, kind="recovered", code="", message="", remedy="", next_attempt="", docs="")


class TestLetters:
    def test_cause_remedy_and_days_left_are_in_the_text(self) -> None:
        """
        The text is complete without a second source.
        """
        text = plain([FAILED])

        assert FAILED.message in text
        assert FAILED.remedy in text
        assert "12 more days" in text
        assert FAILED.next_attempt in text
        assert FAILED.moment in text
        assert FAILED.id in text
        assert "More: certworker explain dns.no_record" in text
        assert "certworker of example.org on worker-1" in text

    def test_html_has_the_same_words_and_no_foreign_tags(self) -> None:
        """
        A CA or a tenant may have written part of it.
        """
        assert "&lt;shop&gt;" in html([FAILED])
        assert "<shop>" not in html([FAILED])

    def test_the_worst_comes_first_and_into_the_subject(self) -> None:
        """
        The most urgent names come first.
        """
        action = replace(FAILED, kind="action", name="z.example.org")
        notices = sort([FAILED, action])

        assert [action, FAILED] == notices
        assert "certworker: z.example.org: action required and 1 more name" == subject(notices)

    def test_what_happened_to_one_name_is_in_its_order(self) -> None:
        """
        A failure and its recovery may share a delivery. The subject has the recovery.
        """
        other = replace(FAILED, name="a.example.org")
        notices = sort([FAILED, RECOVERED, other])

        assert [other, FAILED, RECOVERED] == notices
        assert "certworker: shop.example.org: recovered" == subject([FAILED, RECOVERED])

    @pytest.mark.parametrize(
        ("in_service", "days_left", "sentence"),
        [
            ("valid", 1, "The certificate in service is valid for 1 more day."),
            ("expired", None, "The certificate in service has expired."),
            ("none", None, "There is no certificate in service."),
        ],
    )
    def test_it_says_what_is_in_service(
        self, in_service: InService, days_left: int | None, sentence: str
    ) -> None:
        """
        Each state of the certificate in service has a sentence.
        """
        assert sentence in plain([replace(FAILED, in_service=in_service, days_left=days_left)])

    def test_it_claims_nothing_of_what_is_not_known(self) -> None:
        """
        Without access to the volume the text has no statement about the certificate.
        """
        assert "in service" not in plain([replace(FAILED, in_service="unknown", days_left=None)])

    def test_a_recovery_needs_no_remedy(self) -> None:
        """
        A recovery has the validity of the certificate only.
        """
        text = plain([RECOVERED])

        assert "shop.example.org: recovered" in text
        assert "Remedy" not in text
        assert "More:" not in text


class TestShort:
    def test_a_short_text_is_complete(self) -> None:
        """
        One notice fits into every chat.
        """
        assert plain([FAILED]).rstrip() == short([FAILED], 2_000)

    @pytest.mark.parametrize("longest", [60, 300, 2_000])
    def test_a_long_one_has_the_first_names_and_its_origin(self, longest: int) -> None:
        """
        A chat refuses what is too long.
        """
        text = short([replace(FAILED, name=f"shop{number}.example.org") for number in range(1_000)], longest)

        assert len(text) <= longest
        assert text.startswith("shop0.example.org: issuance failed")
        assert longest < 300 or text.endswith("… certworker of example.org on worker-1")


class TestRead:
    def test_a_notice_is_read_as_it_was_written(self) -> None:
        """
        A notification survives its storage in Redis.
        """
        assert FAILED == read(json.dumps(FAILED.as_json()))

    def test_a_notice_of_an_earlier_version_is_read(self) -> None:
        """
        Waiting notifications of an earlier version are delivered after an update.
        """
        earlier = {field: FAILED.as_json()[field] for field in (*TEXTS, "days_left")}
        notice = read(json.dumps(earlier))

        assert notice
        assert ("unknown", "", "", "") == (notice.in_service, notice.id, notice.host, notice.docs)
        assert FAILED.message in plain([notice])

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
            {"moment": 5},
            {"in_service": 5},
            {"docs": 5},
            {"id": None},
            {"days_left": "12"},
            {"days_left": True},
            {"days_left": 1.5},
        ],
    )
    def test_what_is_no_notice_is_none(self, changes: dict[str, object]) -> None:
        """
        Any writer to Redis can write anything.
        """
        assert read(json.dumps(FAILED.as_json() | changes)) is None

    @pytest.mark.parametrize("text", ["", "[1]", "null", "[" * 100_000, '{"kind": "failed"}'])
    def test_nor_is_anything_else(self, text: str) -> None:
        """
        An entry may not even be JSON.
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
