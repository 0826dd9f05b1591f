"""
Token buckets in Redis, used by many workers at once.
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


#: Scores that no worker writes: without end, and beyond any window of a CA.
NONSENSE = ["inf", "1e300", f"{(NOW + timedelta(days=3_650)).timestamp() * 1_000 * 50:.0f}"]


class Clock:
    """
    A clock that a test sets.
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
    Return buckets without other knowledge.
    """
    return buckets_of(connection, clock)


def buckets_of(
    connection: Redis, clock: Clock | None, known: dict[str, datetime] | None = None
) -> TokenBuckets:
    """
    Return buckets of which *known* is known without Redis.
    """
    return TokenBuckets(connection, KEY, known=lambda _now: known or {}, doubt=60 * MINUTE, clock=clock)


def take_all(buckets: TokenBuckets, bucket: TokenBucket = BUCKET) -> int:
    """
    Take all tokens of *bucket*, and return their number.
    """
    return next(count for count in range(10_000) if buckets.take([bucket]))


class TestTake:
    def test_as_many_as_fit_are_granted_at_once(self, buckets: TokenBuckets) -> None:
        """
        All tokens of a full bucket are available now.
        """
        assert 3 == take_all(buckets)

    def test_the_answer_is_the_moment_of_the_next_one(self, buckets: TokenBuckets, clock: Clock) -> None:
        """
        The failure has the time of the next token.
        """
        take_all(buckets)
        full = buckets.take([BUCKET])
        assert full

        assert NOW + MINUTE == full.until
        clock.now = NOW + MINUTE
        assert 1 == take_all(buckets)

    def test_it_refills_evenly_and_not_beyond_the_brim(self, buckets: TokenBuckets, clock: Clock) -> None:
        """
        A bucket never has more than its capacity.
        """
        take_all(buckets)
        clock.now += 2 * MINUTE
        assert 2 == take_all(buckets)
        clock.now += timedelta(days=365)
        assert 3 == take_all(buckets)

    def test_from_all_or_from_none(self, buckets: TokenBuckets) -> None:
        """
        A refusal of one bucket takes nothing from the others.
        """
        other = TokenBucket("domain example.org", MINUTE, 1)
        assert buckets.take([BUCKET, other]) is None
        full = buckets.take([BUCKET, other])
        assert full

        assert other == full.bucket
        assert 2 == take_all(buckets)

    def test_the_bucket_that_is_free_last_is_reported(self, buckets: TokenBuckets) -> None:
        """
        At any earlier time the bucket would still be empty.
        """
        slow, quick = TokenBucket("slow", 10 * MINUTE), TokenBucket("quick", MINUTE)
        buckets.take([quick, slow])
        full = buckets.take([quick, slow])
        assert full

        assert (slow, NOW + 10 * MINUTE) == (full.bucket, full.until)

    def test_one_without_figures_is_never_empty(self, buckets: TokenBuckets, connection: Redis) -> None:
        """
        A bucket without an interval costs no memory.
        """
        unknown = TokenBucket("orders")
        assert [None] * 100 == [buckets.take([unknown]) for _ in range(100)]
        assert connection.zscore(KEY, "orders") is None

    def test_what_is_full_again_is_forgotten(
        self, buckets: TokenBuckets, connection: Redis, clock: Clock
    ) -> None:
        """
        Full buckets of a million names cost nothing.
        """
        for number in range(100):
            buckets.take([TokenBucket(f"set {number}", MINUTE, 3)])
        clock.now += 61 * MINUTE
        buckets.take([BUCKET])

        assert {b"orders", b"alive"} == set(connection.zrange(KEY, 0, -1))

    def test_threads_and_workers_share_exactly_the_limit(
        self, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        Eight threads, a hundred attempts each, by the clock of Redis.
        """
        bucket = TokenBucket("orders", timedelta(hours=1), 300)

        def tries(_: int) -> int:
            with redis_server.client() as own:
                buckets = buckets_of(own, None)
                return sum(buckets.take([bucket]) is None for _ in range(100))

        with ThreadPoolExecutor(8) as threads:
            assert 300 == sum(threads.map(tries, range(8)))


class TestSettle:
    def test_what_is_given_back_can_be_taken_again(self, buckets: TokenBuckets) -> None:
        """
        A CA that failed has counted nothing.
        """
        take_all(buckets)
        buckets.settle([Adjustment("give back", BUCKET), Adjustment("give back", BUCKET)])

        assert 2 == take_all(buckets)

    def test_giving_back_late_does_not_overfill(self, buckets: TokenBuckets, clock: Clock) -> None:
        """
        The bucket was refilled in the meantime.
        """
        take_all(buckets)
        clock.now += 60 * MINUTE
        buckets.settle([Adjustment("give back", BUCKET)])

        assert 3 == take_all(buckets)

    def test_what_is_taken_afterwards_needs_no_room(self, buckets: TokenBuckets) -> None:
        """
        A later charge is taken even from an empty bucket.
        """
        take_all(buckets)
        buckets.settle([Adjustment("take", BUCKET)])
        full = buckets.take([BUCKET])
        assert full

        assert NOW + 2 * MINUTE == full.until

    @pytest.mark.parametrize("bucket", [BUCKET, TokenBucket("orders")])
    def test_a_bucket_is_shut_until_the_moment_the_ca_names(
        self, buckets: TokenBuckets, clock: Clock, bucket: TokenBucket
    ) -> None:
        """
        Exactly one token is available at that time.
        """
        later = NOW + 60 * MINUTE
        buckets.settle([Adjustment("shut", bucket, later)])
        full = buckets.take([bucket])
        assert full

        assert later == full.until
        clock.now = later
        assert buckets.take([bucket]) is None

    def test_an_earlier_moment_opens_nothing(self, buckets: TokenBuckets) -> None:
        """
        Two answers of the CA may arrive in any order.
        """
        buckets.settle(
            [Adjustment("shut", BUCKET, NOW + 60 * MINUTE), Adjustment("shut", BUCKET, NOW + MINUTE)]
        )
        full = buckets.take([BUCKET])
        assert full

        assert NOW + 60 * MINUTE == full.until

    def test_a_shut_bucket_can_be_opened(self, buckets: TokenBuckets) -> None:
        """
        A person may end a closure before its time.
        """
        pause = TokenBucket("pause a.org")
        buckets.settle([Adjustment("shut", pause, NOW + LONGEST_WINDOW)])
        assert buckets.take([pause])
        buckets.settle([Adjustment("forget", pause)])

        assert buckets.take([pause]) is None


class TestLoss:
    def test_what_is_free_at_the_moment_of_the_loss_is_granted(self, connection: Redis) -> None:
        """
        Redis counts whole milliseconds, and a loss and the next order may be in the same one.
        """
        bucket = TokenBucket("orders", MINUTE, capacity=2)
        refused = []
        for _ in range(300):
            connection.flushall()
            buckets = TokenBuckets(
                connection, KEY, known=lambda now: {bucket.name: now + MINUTE}, doubt=60 * MINUTE
            )
            refused.append(buckets.take([bucket]))

        assert [None] * 300 == refused

    def test_what_is_known_elsewhere_is_remembered(self, connection: Redis, clock: Clock) -> None:
        """
        An emptied Redis does not fill the buckets.
        """
        buckets = buckets_of(connection, clock, {"orders": NOW + 2 * MINUTE, "pause a.org": NOW + MINUTE})
        assert buckets.take([TokenBucket("pause a.org")])

        assert 1 == take_all(buckets)

    def test_eviction_takes_all_or_nothing(self, connection: Redis, clock: Clock) -> None:
        """
        One key, so that no single failure is lost while the others stay.
        """
        buckets = buckets_of(connection, clock, {"orders": NOW + MINUTE})
        take_all(buckets)
        connection.delete(KEY)

        assert 2 == take_all(buckets)

    def test_what_is_doubtful_counts_as_half_used_for_a_while(
        self, buckets: TokenBuckets, connection: Redis, clock: Clock
    ) -> None:
        """
        Only Redis had the names that failed.
        """
        failures = [TokenBucket(f"failures {name}", MINUTE, 4, doubtful=True) for name in ("a.org", "b.org")]

        assert 2 == take_all(buckets, failures[0])
        clock.now += 61 * MINUTE
        assert 4 == take_all(buckets, failures[1])

    @pytest.mark.parametrize("odd", NONSENSE)
    def test_a_moment_that_makes_no_sense_counts_as_lost(
        self, connection: Redis, clock: Clock, caplog: pytest.LogCaptureFixture, odd: str
    ) -> None:
        """
        The bucket gets what is known elsewhere, and the other buckets stay.
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

    @pytest.mark.parametrize("odd", NONSENSE)
    @pytest.mark.parametrize("member", ["doubt", "turn me", "line orders", "pause a.org"])
    def test_no_other_member_shuts_a_bucket_either(
        self, connection: Redis, clock: Clock, odd: str, member: str
    ) -> None:
        """
        Lines, turns and doubts are times as well.
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

    def test_a_moment_within_the_longest_window_is_obeyed(
        self, buckets: TokenBuckets, connection: Redis, clock: Clock
    ) -> None:
        """
        Another worker may have closed the bucket for as long as a CA asks for.
        """
        take_all(buckets)
        until = NOW + LONGEST_WINDOW - MINUTE
        connection.zadd(KEY, {"orders": until.timestamp() * 1_000 + 2 * 60_000})

        full = buckets.take([BUCKET])

        assert full
        assert full.until == until

    @pytest.mark.parametrize("odd", NONSENSE)
    @pytest.mark.parametrize("what", ["take", "give back", "shut"])
    def test_a_change_does_not_begin_with_nonsense(
        self, connection: Redis, clock: Clock, odd: str, what: Literal["take", "give back", "shut"]
    ) -> None:
        """
        The end of an order may be the first to find it.
        """
        buckets = buckets_of(connection, clock)
        take_all(buckets)
        connection.zadd(KEY, {"orders": float(odd)})

        buckets.settle([Adjustment(what, BUCKET, NOW + MINUTE)])

        (full,) = buckets.full_again([BUCKET])
        assert full is None or full <= NOW + 3 * MINUTE

    @pytest.mark.parametrize("odd", NONSENSE)
    def test_nonsense_is_not_reported_as_a_moment(
        self, buckets: TokenBuckets, connection: Redis, odd: str
    ) -> None:
        """
        A report calculates with it.
        """
        connection.zadd(KEY, {"orders": float(odd)})

        assert [None] == buckets.full_again([BUCKET])

    def test_thousands_are_remembered_in_portions(self, connection: Redis, clock: Clock) -> None:
        """
        The volume of a large host has many certificates.
        """
        known = {f"set {number}": NOW + MINUTE for number in range(5_000)}
        buckets_of(connection, clock, known).take([BUCKET])

        assert 5_000 + len(("orders", "alive", "doubt")) == connection.zcard(KEY)
