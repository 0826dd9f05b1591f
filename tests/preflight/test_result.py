"""
The three answers.
"""

from __future__ import annotations

import pytest

from certworker.errors import Retry
from certworker.errors.dns import ContainerResolver
from certworker.errors.http import HttpRefused
from certworker.preflight.result import CheckResult, Outcome


class TestVerdict:
    @pytest.mark.parametrize("no", [CheckResult.fail, CheckResult.warn])
    def test_what_we_found_ourselves_is_tried_again_sooner(self, no: type[CheckResult]) -> None:
        """
        The CA was not asked, so that none of its limits is in the way of looking again in a minute.
        """
        found = CheckResult.fail(HttpRefused(name="shop.org", address="203.0.113.7"))

        assert found.failure is not None
        assert Retry.PREFLIGHT is found.failure.retry
        assert Retry.CA is HttpRefused.retry

    def test_a_failure_that_is_nobodys_mistake_stays_one(self) -> None:
        """
        Its own pauses are shorter still.
        """
        found = CheckResult.fail(ContainerResolver(host="ca.example.org", reason="no name server"))

        assert found.failure is not None
        assert Retry.SOON is found.failure.retry

    def test_a_yes_says_what_was_seen(self) -> None:
        """
        It stands in the one line of the log that a healthy name has of all checks.
        """
        assert CheckResult(Outcome.PASS, "A 203.0.113.7") == CheckResult.passed("A 203.0.113.7")
