"""
The CA's advice and our own arithmetic, put together.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from certworker.acme.renewal_info import RenewalSuggestion
from certworker.renewal.policy import RenewalDecision, RenewalPolicy
from certworker.storage.metadata import CertificateMetadata
from certworker.validity import Window

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def plan(window: Window | None, ask_again: timedelta = DAY, age: timedelta = timedelta(0)) -> RenewalDecision:
    """
    The plan for a certificate of ninety days and this *age*, for which the CA suggests *window*.
    """
    suggestion = RenewalSuggestion(window, NOW + age + ask_again)
    facts = CertificateMetadata(
        names=("shop.example.org",),
        not_before=NOW,
        not_after=NOW + 90 * DAY,
        serial="04ab",
        issuer="issuer",
        renewal_id="aki.serial",
        authority="letsencrypt",
        kind="public",
        generation=1,
    )
    return RenewalPolicy(lambda _: suggestion, Random(1)).decide(facts, NOW + age)


class TestPlan:
    def test_a_window_that_is_over_means_now(self) -> None:
        """
        This is how a mass revocation is announced.
        """
        assert plan(Window(NOW - 2 * DAY, NOW - DAY), age=DAY).due

    def test_nobody_is_asked_about_a_certificate_that_has_expired(self) -> None:
        """
        RFC 9773, section 4.3; it is due without advice.
        """
        ahead = Window(NOW + 95 * DAY, NOW + 96 * DAY)

        assert plan(ahead, age=91 * DAY).due
        assert not plan(ahead, age=91 * DAY).ca_requested

    def test_a_window_ahead_means_not_yet_whatever_the_age(self) -> None:
        """
        The CA knows better than our arithmetic, until the safety net.
        """
        ahead = Window(NOW + 80 * DAY, NOW + 82 * DAY)

        assert not plan(ahead, age=75 * DAY).due
        assert plan(None, age=75 * DAY).due

    def test_the_safety_net_beats_the_window(self) -> None:
        """
        With a twentieth of the life left nobody waits for advice.
        """
        assert plan(Window(NOW + 100 * DAY, NOW + 101 * DAY), age=86 * DAY).due

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (-1 * DAY, DAY, True),
            (-2 * DAY, -1 * DAY, False),
            (0 * DAY, DAY, True),
            (-1 * DAY, 0 * DAY, False),
        ],
    )
    def test_it_knows_whether_the_window_is_open(
        self, start: timedelta, end: timedelta, expected: bool
    ) -> None:
        """
        A window in the past means now, but it exempts from no limit.
        """
        age = 30 * DAY

        assert plan(Window(NOW + age + start, NOW + age + end), age=age).window_open is expected
        assert not plan(None, age=age).window_open

    def test_the_next_look_is_not_after_the_moment_at_which_the_ca_wants_to_be_asked(self) -> None:
        """
        A moved window renews within one look.
        """
        soon = plan(Window(NOW + 60 * DAY, NOW + 61 * DAY), ask_again=timedelta(minutes=5))

        assert soon.next_check <= NOW + timedelta(minutes=5)
