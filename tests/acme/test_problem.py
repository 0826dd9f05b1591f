"""
Problem documents, as a CA sends them.
"""

from __future__ import annotations

import pytest

from certworker.acme.problem import ACME, Problem


class TestProblem:
    @pytest.mark.parametrize(
        "document", [None, {}, [], "text", {"detail": 5, "identifier": [], "status": "x"}]
    )
    def test_a_problem_without_words_is_still_one(self, document: object) -> None:
        """
        RFC 7807 makes every member optional, and a CA may get them wrong.
        """
        assert Problem("about:blank", "no reason given", 0) == Problem.read(document)

    @pytest.mark.parametrize(
        ("document", "name"),
        [
            (
                {"identifier": {"type": "dns", "value": "b.shop.org"}, "detail": 'for "a.shop.org"'},
                "b.shop.org",
            ),
            ({"detail": 'too many failed authorizations (5) for "a.shop.org" in the last 1h'}, "a.shop.org"),
            ({"detail": "No account"}, None),
        ],
    )
    def test_the_name_is_the_identifier_or_quoted(self, document: object, name: str | None) -> None:
        """
        The remedy needs it: which of twenty names is it about?
        """
        assert name == Problem.read(document).name

    def test_the_type_is_compared_without_its_prefix(self) -> None:
        """
        Some CAs have types of their own, which must not be taken for ACME's.
        """
        assert Problem(f"{ACME}dns", "x", 400).matches("dns", "")
        assert not Problem("https://ca.example/errors/dns", "x", 400).matches("dns", "")
