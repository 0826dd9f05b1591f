"""
The story of a name.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from redis import Redis

from certworker.errors import LONGEST_SENTENCE
from certworker.state.history import HISTORY, MAX_ENTRIES, History, HistoryEntry
from tests.servers.ports import free_port

NAME = "shop.example.org"
NOW = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)


class TestStories:
    def test_events_are_told_in_the_order_in_which_they_happened(self, connection: Redis) -> None:
        """
        The oldest event comes first.
        """
        stories = History(connection)
        events = [
            HistoryEntry(NOW + timedelta(seconds=number), "INFO", f"step {number}") for number in range(3)
        ]
        for event in events:
            stories.append(NAME, event)

        assert events == stories.read(NAME)

    def test_a_sentence_with_the_longest_remedy_is_whole(self, connection: Redis) -> None:
        """
        The end of a message may be a command or a link.
        """
        stories = History(connection)
        event = HistoryEntry(NOW, "ERROR", "x" * (LONGEST_SENTENCE - 1) + "!")
        stories.append(NAME, event)

        assert [event] == stories.read(NAME)

    def test_the_last_fifty_are_kept(self, connection: Redis) -> None:
        """
        A name that fails for years must not fill Redis.
        """
        stories = History(connection)
        for number in range(MAX_ENTRIES + 7):
            stories.append(NAME, HistoryEntry(NOW, "INFO", f"step {number}"))

        assert MAX_ENTRIES == len(stories.read(NAME))
        assert "step 7" == stories.read(NAME)[0].text

    def test_what_a_ca_wrote_is_plain_text(self, connection: Redis) -> None:
        """
        A console may show it to a tenant as it is.
        """
        stories = History(connection)
        stories.append(NAME, HistoryEntry(NOW, "WARN", "\x1b[31mred\nand a second line"))

        assert stories.read(NAME)[0].text.isprintable()

    def test_what_others_wrote_into_it_is_left_out(self, connection: Redis) -> None:
        """
        Redis is shared.
        """
        connection.lpush(HISTORY + NAME, b"\xff", "[1, 2]", "{}", '["then", "INFO", "x"]')

        assert [] == History(connection).read(NAME)

    def test_without_redis_nothing_is_kept_and_nobody_is_harmed(self) -> None:
        """
        The log has the event as well.
        """
        stories = History(Redis(port=free_port()))
        stories.append(NAME, HistoryEntry(NOW, "INFO", "step"))

        stories.flush()
