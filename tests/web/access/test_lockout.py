"""
Tests of the lockout of addresses that send wrong tokens.
"""

from __future__ import annotations

import pytest

from certworker.web.access.lockout import (
    FIRST_SECONDS,
    FREE_FAILURES,
    LONGEST_SECONDS,
    MAX_ADDRESSES,
    MEMORY_SECONDS,
    Lockout,
)

GUEST = "192.0.2.7"


class Clock:
    """
    A clock that advances only when a test sets it.
    """

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    """
    Return a clock.
    """
    return Clock()


@pytest.fixture
def lockout(clock: Clock) -> Lockout:
    """
    Return a lockout without failures.
    """
    return Lockout(clock)


def fail(lockout: Lockout, times: int, address: str = GUEST) -> None:
    """
    Record *times* failures of *address*.
    """
    for _ in range(times):
        lockout.record_failure(address)


class TestLockout:
    def test_a_few_failures_are_free(self, lockout: Lockout) -> None:
        """
        A person may paste a wrong text a few times.
        """
        fail(lockout, FREE_FAILURES - 1)

        assert 0 == lockout.seconds_left(GUEST)

    def test_more_failures_lock_the_address_for_a_growing_time(self, lockout: Lockout, clock: Clock) -> None:
        """
        Each further failure doubles the time, up to an hour.
        """
        fail(lockout, FREE_FAILURES)
        assert FIRST_SECONDS == lockout.seconds_left(GUEST)
        assert 0 == lockout.seconds_left("192.0.2.8")
        clock.seconds += FIRST_SECONDS
        assert 0 == lockout.seconds_left(GUEST)
        fail(lockout, 1)
        assert 2 * FIRST_SECONDS == lockout.seconds_left(GUEST)
        fail(lockout, 1000)
        assert LONGEST_SECONDS == lockout.seconds_left(GUEST)

    def test_failures_are_forgotten_after_hours_and_after_a_success(
        self, lockout: Lockout, clock: Clock
    ) -> None:
        """
        A success or some hours without a failure make the address free again.
        """
        fail(lockout, FREE_FAILURES - 1)
        clock.seconds += MEMORY_SECONDS + 1
        fail(lockout, FREE_FAILURES - 1)
        assert 0 == lockout.seconds_left(GUEST)
        lockout.record_success(GUEST)
        fail(lockout, FREE_FAILURES - 1)

        assert 0 == lockout.seconds_left(GUEST)

    def test_an_ipv6_network_counts_as_one_address(self, lockout: Lockout) -> None:
        """
        A client with a whole IPv6 network cannot guess from each of its addresses.
        """
        for number in range(FREE_FAILURES):
            lockout.record_failure(f"2001:db8::{number:x}")

        assert 0 < lockout.seconds_left("2001:db8::ffff")
        assert 0 == lockout.seconds_left("2001:db8:0:1::1")

    def test_the_number_of_addresses_is_limited(self, lockout: Lockout) -> None:
        """
        A flood from many addresses does not fill the memory.
        """
        for number in range(MAX_ADDRESSES + 50):
            lockout.record_failure(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")

        assert MAX_ADDRESSES == len(lockout._records)

    def test_the_log_reports_the_address(self, lockout: Lockout, caplog: pytest.LogCaptureFixture) -> None:
        """
        The log has a line for each lockout.
        """
        fail(lockout, FREE_FAILURES)

        assert f"wrong tokens: {FREE_FAILURES}; {GUEST} is locked out for 30 s" in caplog.text
