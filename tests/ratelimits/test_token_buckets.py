"""
Tests of the token buckets in Redis, which many workers use concurrently.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from redis import Redis

from certworker.ratelimits.token_buckets import LONGEST_WINDOW, Adjustment, TokenBucket, TokenBuckets
from tests.servers.redis import RedisServer

KEY = "certworker:budget:test"
MINUTE = timedelta(minutes=1)
BUCKET = TokenBucket("orders", MINUTE, 3)
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


#: Scores that no worker writes: infinite ones, and ones after any window of a CA.
INVALID_SCORES = ["inf", "1e300", f"{(NOW + timedelta(days=3_650)).timestamp() * 1_000 * 50:.0f}"]


class Clock:
    """
    Return a time that a test can set.
    """

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """
    Return the clock of the buckets.
    """
    return Clock()


@pytest.fixture
def buckets(connection: Redis, clock: Clock) -> TokenBuckets:
    """
    Return buckets without known times.
    """
    return buckets_of(connection, clock)


def buckets_of(
    connection: Redis, clock: Clock | None, known: dict[str, datetime] | None = None
) -> TokenBuckets:
    """
    Return buckets with the times *known*, which do not depend on Redis.
    """
    return TokenBuckets(connection, KEY, known=lambda _now: known or {}, doubt=60 * MINUTE, clock=clock)


def take_all(buckets: TokenBuckets, bucket: TokenBucket = BUCKET) -> int:
    """
    Take all tokens of *bucket*, and return their number.
    """
    return next(count for count in range(10_000) if buckets.take([bucket]))


class TestTake:
    def test_all_tokens_of_a_full_bucket_are_available(self, buckets: TokenBuckets) -> None:
        """
        All tokens of a full bucket are available immediately.
        """
        assert 3 == take_all(buckets)

    def test_an_empty_bucket_has_the_time_of_the_next_token(
        self, buckets: TokenBuckets, clock: Clock
    ) -> None:
        """
        An empty bucket has the time of its next token.
        """
        take_all(buckets)
        full = buckets.take([BUCKET])
        assert full

        assert NOW + MINUTE == full.until
        clock.now = NOW + MINUTE
        assert 1 == take_all(buckets)

    def test_a_bucket_refills_evenly_up_to_its_capacity(self, buckets: TokenBuckets, clock: Clock) -> None:
        """
        A bucket refills evenly, and never has more tokens than its capacity.
        """
        take_all(buckets)
        clock.now += 2 * MINUTE
        assert 2 == take_all(buckets)
        clock.now += timedelta(days=365)
        assert 3 == take_all(buckets)

    def test_tokens_are_taken_from_all_buckets_or_none(self, buckets: TokenBuckets) -> None:
        """
        If one bucket is empty, no token is taken from the others.
        """
        other = TokenBucket("domain example.org", MINUTE, 1)
        assert buckets.take([BUCKET, other]) is None
        full = buckets.take([BUCKET, other])
        assert full

        assert other == full.bucket
        assert 2 == take_all(buckets)

    def test_the_bucket_with_the_latest_time_is_returned(self, buckets: TokenBuckets) -> None:
        """
        The empty bucket with the latest time is returned.
        """
        slow, quick = TokenBucket("slow", 10 * MINUTE), TokenBucket("quick", MINUTE)
        buckets.take([quick, slow])
        full = buckets.take([quick, slow])
        assert full

        assert (slow, NOW + 10 * MINUTE) == (full.bucket, full.until)

    def test_a_bucket_without_an_interval_is_never_empty(
        self, buckets: TokenBuckets, connection: Redis
    ) -> None:
        """
        A bucket without an interval is never empty, and has no entry in Redis.
        """
        unknown = TokenBucket("orders")
        assert [None] * 100 == [buckets.take([unknown]) for _ in range(100)]
        assert connection.zscore(KEY, "orders") is None

    def test_the_entries_of_full_buckets_are_removed(
        self, buckets: TokenBuckets, connection: Redis, clock: Clock
    ) -> None:
        """
        The entries of full buckets are removed from Redis.
        """
        for number in range(100):
            buckets.take([TokenBucket(f"set {number}", MINUTE, 3)])
        clock.now += 61 * MINUTE
        buckets.take([BUCKET])

        assert {b"orders", b"alive"} == set(connection.zrange(KEY, 0, -1))

    def test_concurrent_workers_share_the_limit_exactly(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        Eight concurrent workers get exactly the tokens of the limit.
        """
        bucket = TokenBucket("orders", timedelta(hours=1), 300)

        def tries(_: int) -> int:
            with redis_server.client() as own:
                buckets = buckets_of(own, None)
                return sum(buckets.take([bucket]) is None for _ in range(100))

        with ThreadPoolExecutor(8) as threads:
            assert 300 == sum(threads.map(tries, range(8)))


class TestSettle:
    def test_a_returned_token_is_available(self, buckets: TokenBuckets) -> None:
        """
        A returned token is available, for example after a failure of the CA.
        """
        take_all(buckets)
        buckets.settle([Adjustment("give back", BUCKET), Adjustment("give back", BUCKET)])

        assert 2 == take_all(buckets)

    def test_a_late_return_does_not_exceed_the_capacity(self, buckets: TokenBuckets, clock: Clock) -> None:
        """
        A token that is returned after the refill does not exceed the capacity.
        """
        take_all(buckets)
        clock.now += 60 * MINUTE
        buckets.settle([Adjustment("give back", BUCKET)])

        assert 3 == take_all(buckets)

    def test_a_later_charge_is_taken_from_an_empty_bucket(self, buckets: TokenBuckets) -> None:
        """
        A later charge is taken even from an empty bucket, and delays its next token.
        """
        take_all(buckets)
        buckets.settle([Adjustment("take", BUCKET)])
        full = buckets.take([BUCKET])
        assert full

        assert NOW + 2 * MINUTE == full.until

    @pytest.mark.parametrize("bucket", [BUCKET, TokenBucket("orders")])
    def test_a_closed_bucket_has_a_token_at_its_time(
        self, buckets: TokenBuckets, clock: Clock, bucket: TokenBucket
    ) -> None:
        """
        A closed bucket is empty until the given time, and then has a token.
        """
        later = NOW + 60 * MINUTE
        buckets.settle([Adjustment("shut", bucket, later)])
        full = buckets.take([bucket])
        assert full

        assert later == full.until
        clock.now = later
        assert buckets.take([bucket]) is None

    def test_an_earlier_time_does_not_open_a_closed_bucket(self, buckets: TokenBuckets) -> None:
        """
        An earlier time does not open a closed bucket, because responses of the CA may arrive in any order.
        """
        buckets.settle(
            [Adjustment("shut", BUCKET, NOW + 60 * MINUTE), Adjustment("shut", BUCKET, NOW + MINUTE)]
        )
        full = buckets.take([BUCKET])
        assert full

        assert NOW + 60 * MINUTE == full.until

    def test_a_closed_bucket_can_be_opened(self, buckets: TokenBuckets) -> None:
        """
        A closed bucket can be opened before its time.
        """
        pause = TokenBucket("pause a.org")
        buckets.settle([Adjustment("shut", pause, NOW + LONGEST_WINDOW)])
        assert buckets.take([pause])
        buckets.settle([Adjustment("forget", pause)])

        assert buckets.take([pause]) is None


class TestLoss:
    def test_a_token_is_available_in_the_millisecond_of_a_loss(self, connection: Redis) -> None:
        """
        A token is available in the same millisecond as the loss of Redis.
        """
        bucket = TokenBucket("orders", MINUTE, capacity=2)
        results = []
        for _ in range(300):
            connection.flushall()
            buckets = TokenBuckets(
                connection, KEY, known=lambda now: {bucket.name: now + MINUTE}, doubt=60 * MINUTE
            )
            results.append(buckets.take([bucket]))

        assert [None] * 300 == results

    def test_known_times_are_restored_after_a_loss(self, connection: Redis, clock: Clock) -> None:
        """
        After a loss of Redis, the buckets have the times that are known without it.
        """
        buckets = buckets_of(connection, clock, {"orders": NOW + 2 * MINUTE, "pause a.org": NOW + MINUTE})
        assert buckets.take([TokenBucket("pause a.org")])

        assert 1 == take_all(buckets)

    def test_an_eviction_removes_all_buckets_together(self, connection: Redis, clock: Clock) -> None:
        """
        One key has all buckets, so an eviction removes all of them together.
        """
        buckets = buckets_of(connection, clock, {"orders": NOW + MINUTE})
        take_all(buckets)
        connection.delete(KEY)

        assert 2 == take_all(buckets)

    def test_a_doubtful_bucket_is_half_full_after_a_loss(
        self, buckets: TokenBuckets, connection: Redis, clock: Clock
    ) -> None:
        """
        A doubtful bucket is half full for an hour after a loss of Redis, which alone has its times.
        """
        failures = [TokenBucket(f"failures {name}", MINUTE, 4, doubtful=True) for name in ("a.org", "b.org")]

        assert 2 == take_all(buckets, failures[0])
        clock.now += 61 * MINUTE
        assert 4 == take_all(buckets, failures[1])

    @pytest.mark.parametrize("odd", INVALID_SCORES)
    def test_an_invalid_time_counts_as_lost(
        self, connection: Redis, clock: Clock, caplog: pytest.LogCaptureFixture, odd: str
    ) -> None:
        """
        A bucket with an invalid time gets its known time, and the other buckets are unchanged.
        """
        buckets = buckets_of(connection, clock, {"orders": NOW + 2 * MINUTE})
        other = TokenBucket("set x", MINUTE, 3)
        take_all(buckets)
        take_all(buckets, other)
        connection.zadd(KEY, {"orders": float(odd)})

        assert 1 == take_all(buckets)
        assert 0 == take_all(buckets, other)
        assert [f"removed an invalid time from Redis: {KEY} orders"] == [
            line.getMessage() for line in caplog.records
        ]

    @pytest.mark.parametrize("odd", INVALID_SCORES)
    @pytest.mark.parametrize("member", ["doubt", "turn me", "line orders", "pause a.org"])
    def test_no_other_invalid_member_closes_a_bucket(
        self, connection: Redis, clock: Clock, odd: str, member: str
    ) -> None:
        """
        An invalid time of another member closes no bucket.
        """
        buckets = buckets_of(connection, clock)
        line = TokenBucket("orders", MINUTE, 3, reserved_for_new=0)
        pause = TokenBucket("pause a.org")
        taken = [buckets.take([line, pause], who="me") for _ in range(3)]
        connection.zadd(KEY, {member: float(odd)})

        full = buckets.take([line, pause], who="me")

        assert [None] * 3 == taken
        assert full
        assert full.until == NOW + MINUTE

    def test_a_time_within_the_longest_window_is_respected(
        self, buckets: TokenBuckets, connection: Redis, clock: Clock
    ) -> None:
        """
        A time within the longest window is respected, because another worker may have closed the bucket.
        """
        take_all(buckets)
        until = NOW + LONGEST_WINDOW - MINUTE
        connection.zadd(KEY, {"orders": until.timestamp() * 1_000 + 2 * 60_000})

        full = buckets.take([BUCKET])

        assert full
        assert full.until == until

    @pytest.mark.parametrize("odd", INVALID_SCORES)
    @pytest.mark.parametrize("kind", ["take", "give back", "shut"])
    def test_a_change_replaces_an_invalid_time(
        self, connection: Redis, clock: Clock, odd: str, kind: Literal["take", "give back", "shut"]
    ) -> None:
        """
        A change at the end of an order replaces an invalid time.
        """
        buckets = buckets_of(connection, clock)
        take_all(buckets)
        connection.zadd(KEY, {"orders": float(odd)})

        buckets.settle([Adjustment(kind, BUCKET, NOW + MINUTE)])

        (full,) = buckets.full_again([BUCKET])
        assert full is None or full <= NOW + 3 * MINUTE

    @pytest.mark.parametrize("odd", INVALID_SCORES)
    def test_an_invalid_time_is_not_returned(
        self, buckets: TokenBuckets, connection: Redis, odd: str
    ) -> None:
        """
        An invalid time is not returned to reports.
        """
        connection.zadd(KEY, {"orders": float(odd)})

        assert [None] == buckets.full_again([BUCKET])

    def test_many_known_times_are_restored(self, connection: Redis, clock: Clock) -> None:
        """
        Thousands of known times are restored in batches.
        """
        known = {f"set {number}": NOW + MINUTE for number in range(5_000)}
        buckets_of(connection, clock, known).take([BUCKET])

        assert 5_000 + len(("orders", "alive", "doubt")) == connection.zcard(KEY)
