"""
The stories, written beside the jobs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from redis import Redis

from certworker.observability.history_writer import HistoryWriter
from certworker.state.history import HISTORY, History
from tests.servers.worker import wait_until

NAME = "shop.example.org"


NOW = datetime(2026, 11, 28, tzinfo=UTC)


class TestChronicle:
    @pytest.fixture
    def history_writer(self, connection: Redis) -> Iterator[HistoryWriter]:
        """
        One that has begun.
        """
        with HistoryWriter(History(connection)) as history_writer:
            yield history_writer

    def test_what_was_told_stands_in_redis_a_moment_later(
        self, connection: Redis, history_writer: HistoryWriter
    ) -> None:
        """
        Somebody who asks why a job hangs sees what it did last.
        """
        for text in ("first", "second"):
            history_writer.append(NAME, NOW, "INFO", text)
            wait_until(lambda: connection.llen(HISTORY + NAME) or None, lambda: "nothing is written")
        wait_until(lambda: connection.llen(HISTORY + NAME) == 2 or None, lambda: "one line is missing")

        assert ["first", "second"] == [each.text for each in History(connection).read(NAME)]

    def test_nothing_is_lost_at_the_end(self, connection: Redis) -> None:
        """
        The last words of a worker tell how it ended.
        """
        with HistoryWriter(History(connection)) as history_writer:
            for number in range(20):
                history_writer.append(f"{number}.example.org", NOW, "INFO", "stopped")

        assert all(History(connection).read(f"{number}.example.org") for number in range(20))
