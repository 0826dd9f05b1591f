"""
The pauses between two requests, and requests that are repeated.
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
    UNKNOWN_PATIENCE,
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
    def test_the_text_counts_where_there_is_no_header(self) -> None:
        """
        Boulder writes the moment into each limit's text; proxies may drop the header.
        """
        text = "too many new orders (300) from this account, retry after 2026-11-23 10:07:00 UTC"

        assert NOW + timedelta(minutes=7) == rate_limit_end({}, text, NOW)

    def test_the_header_wins_over_the_text(self) -> None:
        """
        The header is the part of the answer that is meant for programs.
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
    def test_no_wait_is_absurd(self, header: str, wait: timedelta) -> None:
        """
        A limit in the past or a year away is bounded.
        """
        assert NOW + wait == rate_limit_end({"Retry-After": header}, "", NOW)

    @pytest.mark.parametrize("text", ["", "later", "retry after 2026-13-45 99:99:99 UTC"])
    def test_a_limit_may_not_say_when_it_ends(self, text: str) -> None:
        """
        Then the caller decides; a date that does not exist is no reason to crash.
        """
        assert rate_limit_end({}, text, NOW) is None


class TestPauses:
    def test_they_begin_with_milliseconds_and_end_at_two_seconds(self) -> None:
        """
        A fast CA is polled soon, and a slow one rarely.
        """
        found = list(islice(intervals(0.008, Random(1)), 12))

        assert 0.008 <= found[0] <= 0.01
        assert all(earlier < later for earlier, later in pairwise(found[:8]))
        assert 2.0 <= found[-1] <= 2.5

    def test_two_slots_do_not_ask_together(self) -> None:
        """
        Sixteen slots that began at once would otherwise meet at the CA again and again.
        """
        assert list(islice(intervals(0.008, Random(1)), 5)) != list(islice(intervals(0.008, Random(2)), 5))


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
    Return the context of an order at a CA that answers with *ask*.
    """
    return OrderContext(
        "The CA", ask, "thumbprint", None, lambda _name: HTTP01, time.clock, time.sleep, Random(0)
    )


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
