"""
Tests of the results of checks.
"""

from __future__ import annotations

import pytest

from certworker.errors import Retry
from certworker.errors.dns import ContainerResolver
from certworker.errors.http import HttpRefused
from certworker.preflight.result import CheckResult, Outcome


class TestVerdict:
    @pytest.mark.parametrize("no", [CheckResult.fail, CheckResult.warn])
    def test_a_failure_of_a_check_is_retried_sooner(self, no: type[CheckResult]) -> None:
        """
        A failure of a check is retried sooner, because the CA was not asked.
        """
        found = CheckResult.fail(HttpRefused(name="shop.org", address="203.0.113.7"))

        assert found.failure is not None
        assert Retry.PREFLIGHT is found.failure.retry
        assert Retry.CA is HttpRefused.retry

    def test_a_failure_keeps_its_shorter_pauses(self) -> None:
        """
        A failure with short pauses of its own keeps them.
        """
        found = CheckResult.fail(ContainerResolver(host="ca.example.org", reason="no name server"))

        assert found.failure is not None
        assert Retry.SOON is found.failure.retry

    def test_a_success_has_evidence(self) -> None:
        """
        The evidence of a success is in the log line of the preflight.
        """
        assert CheckResult(Outcome.PASS, "A 203.0.113.7") == CheckResult.passed("A 203.0.113.7")
