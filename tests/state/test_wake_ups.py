"""
Test whether a wake-up is planned.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from redis import Redis

from certworker.state.wake_ups import SCHEDULED_KEY, ask_for_wake_up
from certworker.worker.producer import wake_at

SOON = datetime.now(UTC) + timedelta(hours=1)


class TestAskForWakeUp:
    def test_a_wake_up_counts_for_later_times(self, connection: Redis) -> None:
        """
        A planned wake-up counts for its time and for later times, not for earlier ones.
        """
        wake_at(connection, SOON)

        assert [0, 1, 1] == [ask_for_wake_up(connection, SOON + timedelta(seconds=s)) for s in (-5, 0, 60)]

    def test_a_wake_up_without_its_job_does_not_count(self, connection: Redis) -> None:
        """
        An entry whose job Redis has lost, and an entry of another job, are no wake-ups.
        """
        connection.zadd(SCHEDULED_KEY, {"look-1": 1, "issue-1": 1})
        connection.hset("rq:job:issue-1", "data", "x")

        assert 0 == ask_for_wake_up(connection, SOON)

    def test_no_wake_up_counts_for_the_past(self, connection: Redis) -> None:
        """
        Names that are already due need an immediate check, which no planned wake-up replaces.
        """
        wake_at(connection, SOON)

        assert 0 == ask_for_wake_up(connection, datetime.now(UTC) - timedelta(seconds=1))
