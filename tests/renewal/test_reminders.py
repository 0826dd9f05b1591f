"""
Test when the operator of an imported certificate gets a reminder.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from certworker.renewal.reminders import reminder_at
from certworker.validity import Validity

NOW = datetime(2026, 11, 29, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def reminders(length: timedelta) -> list[tuple[str, timedelta]]:
    """
    Return the reminders of a certificate with this *length*, each with the time left, found minute by minute.
    """
    validity = Validity(NOW, NOW + length, "01")
    found: dict[str, timedelta] = {}
    step = max(MINUTE, length / 20_000)
    left = length
    while left > -step:
        if (reminder := reminder_at(validity, left)) and reminder not in found:
            found[reminder] = left
        left -= step
    return list(found.items())


class TestReminder:
    @pytest.mark.parametrize(
        ("length", "expected"),
        [
            (5475 * DAY, [60, 14, 7, 3, 1, 0]),
            (365 * DAY, [60, 14, 7, 3, 1, 0]),
            (200 * DAY, [40, 14, 7, 3, 1, 0]),
            (90 * DAY, [18, 14, 7, 3, 1, 0]),
            (45 * DAY, [9, 7, 3.5, 1.5, 0.5, 0]),
            (6 * DAY, [1.2, 14 / 15, 7 / 15, 0.2, 1 / 15, 0]),
        ],
    )
    def test_they_are_14_7_3_and_1_days_before_the_end_and_earlier_once(
        self, length: timedelta, expected: list[float]
    ) -> None:
        """
        The first reminder comes with a fifth of the period left, but at most 60 days before the expiry. With
        a short period, all reminders come later in proportion.
        """
        found = reminders(length)

        assert ["first", "14d", "7d", "3d", "1d", "ended"] == [reminder for reminder, _ in found]
        assert [left / DAY for _, left in found] == pytest.approx(expected, abs=2 * length / DAY / 20_000)

    def test_a_new_certificate_has_none(self) -> None:
        """
        A certificate has no reminder before the first one.
        """
        assert reminder_at(Validity(NOW, NOW + 90 * DAY, "01"), 19 * DAY) is None

    def test_a_worker_that_was_off_sends_only_the_last_one(self) -> None:
        """
        After an outage only the last reminder is due, and not those before it.
        """
        assert "3d" == reminder_at(Validity(NOW, NOW + 90 * DAY, "01"), 2 * DAY)
