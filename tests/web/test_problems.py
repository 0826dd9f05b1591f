"""
Tests of the problem documents.
"""

from __future__ import annotations

from certworker.web.problems import problem


class TestProblem:
    def test_a_problem_has_its_members_and_type(self) -> None:
        """
        A problem has the members of RFC 9457, and the code and the remedy of certworker.
        """
        response = problem(
            404, "Not Found", "There is no such name.", code="name.unknown", remedy="Request it."
        )

        assert 404 == response.status_code
        assert "application/problem+json" == response.content_type
        assert response.json == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "There is no such name.",
            "code": "name.unknown",
            "remedy": "Request it.",
        }

    def test_an_empty_member_is_left_out(self) -> None:
        """
        A problem without a code has no member for it.
        """
        assert {"type": "about:blank", "title": "Gone", "status": 410} == problem(410, "Gone").json
