"""
Requests for what a CA has just made.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from certworker.acme.order_context import UNKNOWN_PATIENCE, OrderContext
from certworker.acme.transport import Reply
from certworker.errors import CertworkerError
from certworker.errors.acme import Malformed, ResourceNotFound
from certworker.errors.ca import ServerInternal

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
URL = "https://ca/order/1"
REPLY = Reply(URL, 200, {}, b"{}")


class Time:
    """
    A clock that only waiting moves.
    """

    def __init__(self) -> None:
        self.now = NOW

    def clock(self) -> datetime:
        """
        What it shows.
        """
        return self.now

    def sleep(self, seconds: float) -> None:
        """
        Let *seconds* pass.
        """
        self.now += timedelta(seconds=seconds)


def world(time: Time, ask: Callable[[str, dict[str, Any] | None], Reply]) -> OrderContext:
    """
    A world in which *ask* is the CA.
    """
    return OrderContext("The CA", ask, "thumbprint", None, time.clock, time.sleep, Random(0))


class TestFetch:
    @pytest.mark.parametrize("failure", [Malformed, ResourceNotFound])
    def test_what_the_ca_does_not_know_yet_is_requested_again(self, failure: type[CertworkerError]) -> None:
        """
        A replica learns of it within seconds.
        """
        time, refusals = Time(), [failure(authority="The CA", detail="No such order")] * 3

        def ask(url: str, payload: dict[str, Any] | None) -> Reply:
            assert (URL, None) == (url, payload)
            if refusals:
                raise refusals.pop()
            return REPLY

        assert REPLY == world(time, ask).fetch(URL)
        assert timedelta(seconds=1) < time.now - NOW <= UNKNOWN_PATIENCE

    def test_what_stays_unknown_is_reported_within_ten_seconds(self) -> None:
        """
        A slot does not wait for a resource that is gone.
        """
        time = Time()

        def ask(url: str, payload: dict[str, Any] | None) -> Reply:
            raise ResourceNotFound(authority="The CA", detail="No such order")

        with pytest.raises(ResourceNotFound):
            world(time, ask).fetch(URL)
        assert time.now - NOW <= UNKNOWN_PATIENCE

    def test_any_other_failure_is_reported_at_once(self) -> None:
        """
        The next attempt resumes the order.
        """
        time = Time()

        def ask(url: str, payload: dict[str, Any] | None) -> Reply:
            raise ServerInternal(authority="The CA", detail="boom")

        with pytest.raises(ServerInternal):
            world(time, ask).fetch(URL)
        assert time.now == NOW


class TestRetries:
    def test_each_request_has_its_own_ten_seconds(self) -> None:
        """
        A slow beginning must not shorten what comes later.
        """
        time = Time()
        found = world(time, lambda _url, _payload: REPLY)
        refused = ResourceNotFound(authority="The CA", detail="No such order")
        for _ in range(2):
            retry = found.retries()
            retry(refused)
            time.sleep(20)
            with pytest.raises(ResourceNotFound):
                retry(refused)
