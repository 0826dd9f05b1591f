"""
Tests of the appearance of states.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from certworker.renewal.domain_status import FAILURES, STATES, DomainStatus
from certworker.web.pages.appearance import Tone, appearance, appearance_of, appearances, tone_of_budget
from tests.web.application import NOW

VALID = DomainStatus(
    name="a.example.com",
    state="valid",
    detail="valid",
    names=("a.example.com",),
    serial="1",
    not_before=NOW,
    not_after=NOW,
    renewal=None,
    next_check=None,
    attempts=0,
    code="",
    message="",
    remedy="",
    issuer="E7",
    authority="letsencrypt",
    by="",
)


class TestAppearances:
    def test_each_state_has_words_and_the_most_urgent_is_first(self) -> None:
        """
        Each state except the sum of the failures has its own look.
        """
        states = [look.state for look in appearances()]

        assert {*STATES, *FAILURES} - {"failed"} == set(states)
        assert "no_certificate" == states[0]
        assert len(states) == len({look.label for look in appearances()})

    def test_an_unknown_state_is_shown_as_it_is(self) -> None:
        """
        A state of a newer version does not break the page.
        """
        assert ("out of date", "idle") == (appearance_of("out_of_date").label, appearance_of("x").tone)


class TestAppearance:
    @pytest.mark.parametrize("length", [timedelta(days=90), timedelta(hours=160)])
    @pytest.mark.parametrize(("left", "tone"), [(0.5, "good"), (0.21, "good"), (0.19, "warn"), (0.09, "bad")])
    def test_the_tone_depends_on_the_share_that_is_left(
        self, length: timedelta, left: float, tone: Tone
    ) -> None:
        """
        The same remaining share of a short and a long validity period has the same tone.
        """
        end = NOW + length * left
        status = replace(VALID, not_before=end - length, not_after=end)

        assert (tone, "valid") == (appearance(status, NOW).tone, appearance(status, NOW).label)

    def test_a_failure_without_a_certificate_stays_bad(self) -> None:
        """
        A name without a certificate has no share, and the tone of its state.
        """
        status = replace(VALID, state="failed", detail="no_certificate", not_before=None, not_after=None)

        assert "bad" == appearance(status, NOW).tone


class TestBudgets:
    @pytest.mark.parametrize(("left", "tone"), [(0, "bad"), (29, "warn"), (30, "good")])
    def test_the_tone_of_a_budget(self, left: int, tone: Tone) -> None:
        """
        The tone of an empty budget is bad. With less than a tenth left, it is a warning.
        """
        assert tone == tone_of_budget(left, 300)
