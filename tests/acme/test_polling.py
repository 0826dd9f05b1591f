"""
Tests of the pauses between two requests, and the repetition of requests.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from random import Random
from typing import Any

import pytest

from certworker.acme.polling import (
    LONGEST_LIMIT,
    UNKNOWN_TIMEOUT,
    OrderContext,
    intervals,
    rate_limit_end,
)
from certworker.acme.transport import Reply
from certworker.challenges.challenge import HTTP01
from certworker.errors import CertworkerError
from certworker.errors.acme import Malformed, ResourceNotFound
from certworker.errors.ca import ServerInternal

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
URL = "https://ca/order/1"
REPLY = Reply(URL, 200, {}, b"{}")


class TestEndOfLimit:
    def test_the_end_comes_from_the_text_without_a_header(self) -> None:
        """
        Without a header, the time at which a limit resets comes from the text. Boulder writes the time into
        the text.
        """
        text = "too many new orders (300) from this account, retry after 2026-11-23 10:07:00 UTC"

        assert NOW + timedelta(minutes=7) == rate_limit_end({}, text, NOW)

    def test_the_header_wins_over_the_text(self) -> None:
        """
        The Retry-After header has precedence over the text, because it is meant for programs.
        """
        text = "retry after 2026-11-23 12:00:00 UTC"

        assert NOW + timedelta(minutes=1) == rate_limit_end({"Retry-After": "60"}, text, NOW)

    @pytest.mark.parametrize(
        ("header", "wait"),
        [
            ("0", timedelta(seconds=1)),
            ("999999999", LONGEST_LIMIT),
            ("Mon, 23 Nov 2026 09:59:00 GMT", timedelta(seconds=60)),
        ],
    )
    def test_a_wait_has_bounds(self, header: str, wait: timedelta) -> None:
        """
        A limit resets between one second and the maximum from now. A time in the past becomes
        one minute.
        """
        assert NOW + wait == rate_limit_end({"Retry-After": header}, "", NOW)

    @pytest.mark.parametrize("text", ["", "later", "retry after 2026-13-45 99:99:99 UTC"])
    def test_a_limit_without_a_valid_time_has_no_end(self, text: str) -> None:
        """
        The end is None without a valid time in the header or the text.
        """
        assert rate_limit_end({}, text, NOW) is None


class TestPauses:
    def test_pauses_grow_from_milliseconds_to_two_seconds(self) -> None:
        """
        The pauses grow from 8 milliseconds to two seconds, plus jitter.
        """
        found = list(islice(intervals(0.008, Random(1)), 12))

        assert 0.008 <= found[0] <= 0.01
        assert all(earlier < later for earlier, later in pairwise(found[:8]))
        assert 2.0 <= found[-1] <= 2.5

    def test_the_pauses_of_two_slots_differ(self) -> None:
        """
        The pauses of two slots differ, so slots that start together do not poll together.
        """
        assert list(islice(intervals(0.008, Random(1)), 5)) != list(islice(intervals(0.008, Random(2)), 5))


class Time:
    """
    A clock that only `sleep` moves.
    """

    def __init__(self) -> None:
        self.now = NOW

    def clock(self) -> datetime:
        """
        Return the current time of this clock.
        """
        return self.now

    def sleep(self, seconds: float) -> None:
        """
        Move the clock by *seconds*.
        """
        self.now += timedelta(seconds=seconds)


def context_of(time: Time, ask: Callable[[str, dict[str, Any] | None], Reply]) -> OrderContext:
    """
    Return the context of an order at a CA that answers with *ask*.
    """
    return OrderContext(
        "The CA", ask, "thumbprint", None, lambda _name: HTTP01, time.clock, time.sleep, Random(0)
    )


class TestFetch:
    @pytest.mark.parametrize("failure", [Malformed, ResourceNotFound])
    def test_an_unknown_resource_is_requested_again(self, failure: type[CertworkerError]) -> None:
        """
        An unknown resource is requested again, because a replica gets it within seconds.
        """
        time, refusals = Time(), [failure(authority="The CA", detail="No such order")] * 3

        def ask(url: str, payload: dict[str, Any] | None) -> Reply:
            assert (URL, None) == (url, payload)
            if refusals:
                raise refusals.pop()
            return REPLY

        assert REPLY == context_of(time, ask).fetch(URL)
        assert timedelta(seconds=1) < time.now - NOW <= UNKNOWN_TIMEOUT

    def test_a_resource_that_stays_unknown_is_reported_within_ten_seconds(self) -> None:
        """
        The requests end after ten seconds, so no slot waits for a deleted resource.
        """
        time = Time()

        def ask(url: str, payload: dict[str, Any] | None) -> Reply:
            raise ResourceNotFound(authority="The CA", detail="No such order")

        with pytest.raises(ResourceNotFound):
            context_of(time, ask).fetch(URL)
        assert time.now - NOW <= UNKNOWN_TIMEOUT

    def test_any_other_failure_is_reported_at_once(self) -> None:
        """
        Another failure ends the requests immediately. The next attempt resumes the order.
        """
        time = Time()

        def ask(url: str, payload: dict[str, Any] | None) -> Reply:
            raise ServerInternal(authority="The CA", detail="boom")

        with pytest.raises(ServerInternal):
            context_of(time, ask).fetch(URL)
        assert time.now == NOW


class TestRetries:
    def test_each_request_has_its_own_ten_seconds(self) -> None:
        """
        A slow first request does not shorten the limit of the next request.
        """
        time = Time()
        found = context_of(time, lambda _url, _payload: REPLY)
        refused = ResourceNotFound(authority="The CA", detail="No such order")
        for _ in range(2):
            retry = found.retries()
            retry(refused)
            time.sleep(20)
            with pytest.raises(ResourceNotFound):
                retry(refused)
