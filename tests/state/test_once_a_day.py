"""
What is said once a day.
"""

from __future__ import annotations

from redis import Redis

from certworker.state.once_a_day import SAID, Daily


class TestDaily:
    def test_the_first_one_says_it(self, connection: Redis) -> None:
        """
        Twenty workers look every hour; the log has one line.
        """
        assert Daily(connection).first("overdue:a.org")
        assert not Daily(connection).first("overdue:a.org")
        assert Daily(connection).first("overdue:b.org")

    def test_a_key_without_end_silences_nothing(self, connection: Redis) -> None:
        """
        An overdue certificate is in the log of each day.
        """
        connection.set(f"{SAID}overdue:a.org", "x")

        assert [True, False] == [Daily(connection).first("overdue:a.org") for _ in range(2)]

    def test_the_next_day_it_is_said_again(self, connection: Redis) -> None:
        """
        Redis forgets it by itself, a little before the day is over.
        """
        Daily(connection).first("overdue:a.org")

        assert 22 * 3600 < int(str(connection.ttl(f"{SAID}overdue:a.org"))) < 24 * 3600
