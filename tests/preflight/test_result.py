"""
Tests of the results of checks.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from certworker.errors import CertworkerError, Retry
from certworker.errors.dns import ContainerResolver
from certworker.errors.http import HttpRefused
from certworker.preflight.result import CheckResult, Outcome


class TestCheckResult:
    @pytest.mark.parametrize("result_of", [CheckResult.fail, CheckResult.warn])
    def test_a_failure_of_a_check_is_retried_sooner(
        self, result_of: Callable[[CertworkerError], CheckResult]
    ) -> None:
        """
        A failure of a check has short pauses, because the CA has not counted it.
        """
        found = result_of(HttpRefused(name="shop.org", address="203.0.113.7"))

        assert found.failure is not None
        assert Retry.PREFLIGHT is found.failure.retry
        assert Retry.CA is HttpRefused.retry

    def test_a_failure_keeps_its_shorter_pauses(self) -> None:
        """
        A failure that already has shorter pauses keeps them.
        """
        found = CheckResult.fail(ContainerResolver(host="ca.example.org", reason="no name server"))

        assert found.failure is not None
        assert Retry.SOON is found.failure.retry

    def test_a_success_has_evidence(self) -> None:
        """
        A success has evidence, which the log line of the preflight shows.
        """
        assert CheckResult(Outcome.PASS, "A 203.0.113.7") == CheckResult.passed("A 203.0.113.7")
