"""
The status that goes with a problem.
"""

from __future__ import annotations

import pytest

from certworker.devca.problems import Problem


class TestProblem:
    @pytest.mark.parametrize(
        ("problem", "status"),
        [
            (Problem("badNonce", ""), 400),
            (Problem("rateLimited", ""), 429),
            (Problem("alreadyReplaced", ""), 409),
            (Problem("malformed", "", 404), 404),
        ],
    )
    def test_its_kind_has_a_status(self, problem: Problem, status: int) -> None:
        """
        Unless the case has one of its own.
        """
        assert (status, status) == (problem.http_status, problem.as_json()["status"])
