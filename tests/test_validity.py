"""
The validity period and the renewal window of a certificate.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from certworker.validity import Validity, Window

START = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class TestValidity:
    def test_left_is_the_share_of_the_validity_period(self) -> None:
        """
        The share is 1 for a new certificate, 0 at its expiry, and negative after its expiry.
        """
        validity = Validity(START, START + 90 * DAY, "04ab")

        assert 90 * DAY == validity.length
        assert [1, 1 / 3, 0, -1] == [validity.left(START + days * DAY) for days in (0, 60, 90, 180)]


class TestWindow:
    def test_it_contains_its_start_but_not_its_end(self) -> None:
        """
        The end of a window is the first moment outside it.
        """
        window = Window(START, START + DAY)

        assert [True, True, False] == [window.contains(START + share * DAY) for share in (0, 0.5, 1)]
        assert not window.contains(START - DAY)
