"""
Tests of the refusal of a request.
"""

from __future__ import annotations

from certworker.web.access import Refused


class TestRefused:
    def test_a_refusal_has_a_reason_and_a_remedy(self) -> None:
        """
        A refusal is an exception with its status, reason and remedy.
        """
        refusal = Refused(401, "A token is needed.", "Create one.")

        assert (401, "A token is needed.", "Create one.") == (refusal.status, str(refusal), refusal.remedy)
