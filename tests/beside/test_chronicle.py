"""
The stories, written beside the jobs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from redis import Redis

from certworker.beside.chronicle import Chronicle
from certworker.ledger.story import STORIES, Stories
from tests.servers.worker import wait_until

NAME = "shop.example.org"


NOW = datetime(2026, 11, 28, tzinfo=UTC)


class TestChronicle:
    @pytest.fixture
    def chronicle(self, connection: Redis) -> Iterator[Chronicle]:
        """
        One that has begun.
        """
        with Chronicle(Stories(connection)) as chronicle:
            yield chronicle

    def test_what_was_told_stands_in_redis_a_moment_later(
        self, connection: Redis, chronicle: Chronicle
    ) -> None:
        """
        Somebody who asks why a job hangs sees what it did last.
        """
        for text in ("first", "second"):
            chronicle.tell(NAME, NOW, "INFO", text)
            wait_until(lambda: connection.llen(STORIES + NAME) or None, lambda: "nothing is written")
        wait_until(lambda: connection.llen(STORIES + NAME) == 2 or None, lambda: "one line is missing")

        assert ["first", "second"] == [each.text for each in Stories(connection).read(NAME)]

    def test_nothing_is_lost_at_the_end(self, connection: Redis) -> None:
        """
        The last words of a worker tell how it ended.
        """
        with Chronicle(Stories(connection)) as chronicle:
            for number in range(20):
                chronicle.tell(f"{number}.example.org", NOW, "INFO", "stopped")

        assert all(Stories(connection).read(f"{number}.example.org") for number in range(20))
