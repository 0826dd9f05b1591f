"""
The lifetime that a profile gives.
"""

from __future__ import annotations

from datetime import timedelta

from certworker.devca.policy import Policy


class TestLifetimeOf:
    def test_it_is_the_usual_one(self) -> None:
        """
        The classic profile has the lifetime of the CA.
        """
        assert timedelta(days=45) == Policy(lifetime=timedelta(days=45)).lifetime_of("classic")

    def test_a_profile_shortens_it(self) -> None:
        """
        160 hours, but never longer than the CA's usual lifetime.
        """
        assert timedelta(hours=160) == Policy().lifetime_of("shortlived")
        assert timedelta(seconds=9) == Policy(lifetime=timedelta(seconds=9)).lifetime_of("shortlived")
