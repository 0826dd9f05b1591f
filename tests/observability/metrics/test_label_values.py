"""
Tests of the values of labels.
"""

from __future__ import annotations

import pytest

from certworker.observability.metrics.label_values import Issuers, code_of, status_of, step_of


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "value"),
        [(200, "200"), (429, "429"), (418, "4xx"), (599, "5xx"), (0, "none"), (600, "other"), (-1, "other")],
    )
    def test_a_status_is_a_usual_one_or_its_class(self, status: int, value: str) -> None:
        """
        Usual statuses are values of their own, and others count together.
        """
        assert value == status_of(status)


class TestCode:
    @pytest.mark.parametrize(("code", "value"), [("", ""), ("http.404", "http.404"), ("x\n", "other")])
    def test_a_code_is_in_the_catalog(self, code: str, value: str) -> None:
        """
        A code of the catalog is a value, and any other text is `other`.
        """
        assert value == code_of(code)


class TestStep:
    @pytest.mark.parametrize(("step", "value"), [("lock", "lock"), ("dry_run", "dry_run"), ("DNS", "other")])
    def test_a_step_is_one_of_a_job(self, step: str, value: str) -> None:
        """
        A step of a job is a value, and any other step is `other`.
        """
        assert value == step_of(step)


class TestIssuers:
    @pytest.mark.parametrize(("label", "value"), [("a", "a"), ("", "none"), ("b", "other")])
    def test_an_issuer_is_known(self, label: str, value: str) -> None:
        """
        A known issuer is a value, and any other text is `other`.
        """
        assert value == Issuers(["a", "a"]).value_of(label)
