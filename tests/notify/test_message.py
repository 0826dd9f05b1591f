"""
Tests of the texts of notifications.
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


class TestTexts:
    def test_cause_remedy_and_days_left_are_in_the_text(self) -> None:
        """
        The text has the cause, the remedy, the remaining days and its origin.
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

    @pytest.mark.parametrize(
        ("left", "shown"), [(2, "2 more days"), (1, "1 more day"), (0, "less than a day")]
    )
    def test_the_last_days_are_readable(self, left: int, shown: str) -> None:
        """
        The text has the remaining days, including the last one.
        """
        assert f"is valid for {shown}." in plain([replace(FAILED, days_left=left)])

    def test_html_is_escaped(self) -> None:
        """
        The HTML text escapes the values, which a CA or a tenant can have written.
        """
        assert "&lt;shop&gt;" in html([FAILED])
        assert "<shop>" not in html([FAILED])

    def test_the_most_urgent_notification_is_first(self) -> None:
        """
        The most urgent notification comes first, and is in the subject.
        """
        action = replace(FAILED, kind="action", name="z.example.org")
        notifications = sort([FAILED, action])

        assert [action, FAILED] == notifications
        assert "certworker: z.example.org: action required and 1 more name" == subject(notifications)

    def test_the_notifications_of_a_name_are_in_order(self) -> None:
        """
        The notifications of a name are in chronological order, and the subject has the last one.
        """
        other = replace(FAILED, name="a.example.org")
        notifications = sort([FAILED, RECOVERED, other])

        assert [other, FAILED, RECOVERED] == notifications
        assert "certworker: shop.example.org: recovered" == subject([FAILED, RECOVERED])

    @pytest.mark.parametrize(
        ("in_service", "days_left", "sentence"),
        [
            ("valid", 1, "The certificate in service is valid for 1 more day."),
            ("expired", None, "The certificate in service has expired."),
            ("none", None, "There is no certificate in service."),
        ],
    )
    def test_the_text_has_the_certificate_in_service(
        self, in_service: InService, days_left: int | None, sentence: str
    ) -> None:
        """
        Each state of the certificate in service has a sentence.
        """
        assert sentence in plain([replace(FAILED, in_service=in_service, days_left=days_left)])

    def test_an_unknown_certificate_is_not_in_the_text(self) -> None:
        """
        Without access to the volume, the text has no sentence about the certificate.
        """
        assert "in service" not in plain([replace(FAILED, in_service="unknown", days_left=None)])

    def test_a_recovery_needs_no_remedy(self) -> None:
        """
        The text of a recovery has no remedy and no page.
        """
        text = plain([RECOVERED])

        assert "shop.example.org: recovered" in text
        assert "Remedy" not in text
        assert "More:" not in text


class TestShort:
    def test_a_short_text_is_complete(self) -> None:
        """
        One notification fits into the limit of a chat and is complete.
        """
        assert plain([FAILED]).rstrip() == short([FAILED], 2_000)

    @pytest.mark.parametrize("longest", [60, 300, 2_000])
    def test_a_long_text_has_the_first_names_and_its_origin(self, longest: int) -> None:
        """
        A long text is shortened to the limit of a chat, with the first names and its origin.
        """
        text = short([replace(FAILED, name=f"shop{number}.example.org") for number in range(1_000)], longest)

        assert len(text) <= longest
        assert text.startswith("shop0.example.org: issuance failed")
        assert longest < 300 or text.endswith("… certworker of example.org on worker-1")


class TestRead:
    def test_a_notification_is_read_as_it_was_written(self) -> None:
        """
        The notification that is read equals the one that was written.
        """
        assert FAILED == read(json.dumps(FAILED.as_json()))

    def test_a_notification_of_an_earlier_version_is_read(self) -> None:
        """
        A notification of an earlier version is read with empty values for the newer fields.
        """
        earlier = {field: FAILED.as_json()[field] for field in (*TEXTS, "days_left")}
        notification = read(json.dumps(earlier))

        assert notification
        assert ("unknown", "", "", "") == (
            notification.in_service,
            notification.id,
            notification.host,
            notification.docs,
        )
        assert FAILED.message in plain([notification])

    def test_fields_of_a_later_version_are_ignored(self) -> None:
        """
        Unknown fields are ignored, because two versions can share an outbox.
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
    def test_a_notification_with_an_invalid_field_is_none(self, changes: dict[str, object]) -> None:
        """
        A notification with an invalid field is None.
        """
        assert read(json.dumps(FAILED.as_json() | changes)) is None

    @pytest.mark.parametrize("text", ["", "[1]", "null", "[" * 100_000, '{"kind": "failed"}'])
    def test_invalid_json_is_none(self, text: str) -> None:
        """
        An entry that is no JSON object is None.
        """
        assert read(text) is None

    @given(text=strategies.text())
    def test_texts_are_printable(self, text: str) -> None:
        """
        The texts are printable, because a line feed ends a header and a lone surrogate cannot be encoded.
        """
        notification = read(json.dumps(FAILED.as_json() | {"name": text or "x", "message": text}))

        assert notification
        assert notification.name.isprintable()
        assert notification.message.isprintable()
