"""
Tests of the failures of a DNS provider's answers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from certworker.dns01.provider import TxtRecord
from certworker.dns01.refusals import Refusals
from certworker.errors import Retry

RECORD = TxtRecord("_acme-challenge.example.com", "v" * 43, "example.com")
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
REFUSALS = Refusals("a provider", "ITS_VARIABLES")


@pytest.mark.parametrize(
    ("status", "code", "retry", "shown"),
    [
        (401, "dns01.credentials", Retry.CONFIG, "ITS_VARIABLES"),
        (403, "dns01.forbidden", Retry.PREFLIGHT, "ITS_VARIABLES"),
        (404, "dns01.no_zone", Retry.PREFLIGHT, "example.com"),
        (429, "dns01.rate_limited", Retry.UNTIL, "2026-11-28 12:05:00 UTC"),
        (302, "dns01.provider_failed", Retry.SOON, "a redirect, which is not followed"),
        (503, "dns01.provider_failed", Retry.SOON, "HTTP 503"),
    ],
)
def test_each_status_has_its_failure(status: int, code: str, retry: Retry, shown: str) -> None:
    """
    Each status has its failure, with the setting or the reason, and a retry that fits the cause.
    """
    failure = REFUSALS.of_status(status, {}, RECORD, NOW)

    assert (failure.code, failure.retry) == (code, retry)
    assert shown in str(failure)


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_headers_are_case_insensitive(name: str) -> None:
    """
    The case of a header's name does not matter.
    """
    failure = REFUSALS.of_status(503, {name: "30"}, RECORD, NOW)

    assert (failure.code, failure.until) == ("dns01.rate_limited", NOW + timedelta(seconds=30))
