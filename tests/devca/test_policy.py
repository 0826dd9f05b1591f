"""
Tests of the lifetimes of the profiles.
"""

from __future__ import annotations

from datetime import timedelta

from certworker.devca.policy import Policy


class TestLifetimeOf:
    def test_the_profile_classic_has_the_lifetime_of_the_ca(self) -> None:
        """
        The profile classic has the lifetime of the CA.
        """
        assert timedelta(days=45) == Policy(lifetime=timedelta(days=45)).lifetime_of("classic")

    def test_the_profile_shortlived_shortens_it(self) -> None:
        """
        The profile shortlived has 160 hours, or the lifetime of the CA if it is shorter.
        """
        assert timedelta(hours=160) == Policy().lifetime_of("shortlived")
        assert timedelta(seconds=9) == Policy(lifetime=timedelta(seconds=9)).lifetime_of("shortlived")
