"""
Tests of the limit of calls.
"""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from certworker.web.api import rate_limit
from certworker.web.api.rate_limit import BURST, CALLS_PER_SECOND, RateLimit
from tests.web.api.conftest import ClientOf


@pytest.fixture
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Limit each caller to three calls at once and one in 100 seconds: the bucket does not fill during a test.
    """
    monkeypatch.setattr(rate_limit, "BURST", 3)
    monkeypatch.setattr(rate_limit, "CALLS_PER_SECOND", 0.01)


class TestRateLimit:
    def test_a_burst_is_allowed_and_refilled(self) -> None:
        """
        After a burst, a caller can send as many calls as the elapsed time allows.
        """
        clock = [0.0]
        limit = RateLimit(lambda: clock[0])

        assert [0] * BURST == [limit.wait_of("a") for _ in range(BURST)]
        assert 1 == limit.wait_of("a")
        assert 0 == limit.wait_of("b")
        clock[0] = 2.0
        assert 2 * CALLS_PER_SECOND == sum(limit.wait_of("a") == 0 for _ in range(BURST))

    def test_a_call_over_the_limit_is_refused(self, low_limit: None, client_of: ClientOf) -> None:
        """
        The response to a call over the limit is 429 with the seconds to wait. Another token is not affected.
        """
        busy: FlaskClient = client_of("read")
        statuses = [busy.get("/api/v1/openapi.json").status_code for _ in range(3)]
        refused = busy.get("/api/v1/names")

        assert [200, 200, 200] == statuses
        assert 429 == refused.status_code
        assert 0 < int(refused.headers["Retry-After"]) <= 100
        assert "application/problem+json" == refused.content_type
        assert 200 == client_of("read").get("/api/v1/openapi.json").status_code

    def test_the_addresses_of_an_ipv6_network_are_one_caller(
        self, low_limit: None, application: Flask
    ) -> None:
        """
        Without a token, a client with a whole IPv6 network has no bucket for each of its addresses.
        """

        def call(address: str) -> int:
            origin = {"REMOTE_ADDR": address}
            return application.test_client().get("/api/v1/names", environ_base=origin).status_code

        assert [401, 401, 401, 429] == [call(f"2001:db8::{number}") for number in range(4)]
        assert [401, 401] == [call("2001:db8:0:1::1"), call("192.0.2.1")]
