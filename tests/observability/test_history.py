"""
Tests of the history of each name, which certworker writes from the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from certworker.errors import LONGEST_SENTENCE
from certworker.observability.history import (
    HISTORY,
    MAX_ENTRIES,
    History,
    HistoryEntry,
    HistoryLogHandler,
    HistoryWriter,
)
from tests.servers.ports import free_port
from tests.servers.worker import wait_until

NAME = "shop.example.org"
NOW = datetime(2026, 11, 23, 10, 15, 9, tzinfo=UTC)


class TestHistory:
    def test_events_are_in_chronological_order(self, connection: Redis) -> None:
        """
        The history of a name begins with its oldest event.
        """
        history = History(connection)
        events = [
            HistoryEntry(NOW + timedelta(seconds=number), "INFO", f"step {number}") for number in range(3)
        ]
        for event in events:
            history.append(NAME, event)

        assert events == history.read(NAME)

    def test_the_longest_text_is_complete(self, connection: Redis) -> None:
        """
        The longest text is not truncated, because it can end with a command or a link.
        """
        history = History(connection)
        event = HistoryEntry(NOW, "ERROR", "x" * (LONGEST_SENTENCE - 1) + "!")
        history.append(NAME, event)

        assert [event] == history.read(NAME)

    def test_the_number_of_entries_is_limited(self, connection: Redis) -> None:
        """
        Only the latest entries of a name remain, so that a failing name does not fill Redis.
        """
        history = History(connection)
        for number in range(MAX_ENTRIES + 7):
            history.append(NAME, HistoryEntry(NOW, "INFO", f"step {number}"))

        assert MAX_ENTRIES == len(history.read(NAME))
        assert "step 7" == history.read(NAME)[0].text

    def test_a_text_is_printable(self, connection: Redis) -> None:
        """
        The text of an entry, which a CA can have written, is printable.
        """
        history = History(connection)
        history.append(NAME, HistoryEntry(NOW, "WARN", "\x1b[31mred\nand a second line"))

        assert history.read(NAME)[0].text.isprintable()

    def test_invalid_entries_are_skipped(self, connection: Redis) -> None:
        """
        Invalid entries, which other programs can have written, are skipped.
        """
        connection.lpush(HISTORY + NAME, b"\xff", "[1, 2]", "{}", '["then", "INFO", "x"]')

        assert [] == History(connection).read(NAME)

    def test_an_entry_has_the_durations_of_the_steps(self, connection: Redis) -> None:
        """
        The durations are in the order of the steps. An entry without them is a list of three, as before.
        """
        history = History(connection)
        last = HistoryEntry(NOW, "INFO", "certificate issued", {"lock": 0.6, "order": 8.9})
        history.append(NAME, HistoryEntry(NOW, "INFO", "request received"))
        history.append(NAME, last)

        assert last == history.read(NAME)[-1]
        assert [3, 4] == [
            len(json.loads(line)) for line in reversed(connection.lrange(HISTORY + NAME, 0, -1))
        ]

    @pytest.mark.parametrize(
        "found", ["[]", "7", '{"lock": "x"}', '{"lock": -1}', '{"lock": true}', '{"x": 1}', '{"lock": 1e99}']
    )
    def test_invalid_durations_cost_only_themselves(self, connection: Redis, found: str) -> None:
        """
        An entry with invalid durations has its text, and no durations.
        """
        connection.lpush(HISTORY + NAME, f'["2026-11-23T10:15:09Z", "INFO", "x", {found}]')

        assert [HistoryEntry(NOW, "INFO", "x")] == History(connection).read(NAME)

    def test_without_redis_lines_are_dropped_without_an_error(self) -> None:
        """
        Without Redis, an entry is lost without an error. The log has it as well.
        """
        history = History(Redis(port=free_port()))
        history.append(NAME, HistoryEntry(NOW, "INFO", "step"))

        history.flush()


class TestHistoryLogHandler:
    def test_only_lines_about_a_name_are_entries(self) -> None:
        """
        A log line about a name is an entry with the code, the message and the remedy, without other fields.
        """
        lines: list[tuple[str, HistoryEntry]] = []
        logger = logging.Logger("certworker.test")
        logger.addHandler(HistoryLogHandler(lambda *line: lines.append(line)))
        failure = {"message": "It failed.", "remedy": "Do this.", "attempt": 2}
        logger.info("ready")
        logger.debug("a detail", extra={"domain": NAME})
        logger.warning("no", extra={"domain": NAME, "code": "dns.no_record", "fields": failure})

        assert [(NAME, "WARN", "no [dns.no_record] It failed. Do this.")] == [
            (name, event.level, event.text) for name, event in lines
        ]

    def test_an_error_of_the_history_does_not_fail_the_caller(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        An error of the history is printed to standard error, and the caller continues.
        """

        def broken(*_: object) -> None:
            raise ValueError("odd")

        logger = logging.Logger("certworker.test")
        logger.addHandler(HistoryLogHandler(broken))
        logger.info("ready", extra={"domain": NAME})

        assert "ValueError: odd" in capsys.readouterr().err


class TestHistoryWriter:
    @pytest.fixture
    def writer(self, connection: Redis) -> Iterator[HistoryWriter]:
        """
        Yield a running writer.
        """
        with HistoryWriter(History(connection)) as writer:
            yield writer

    def test_a_line_is_written_at_once(self, connection: Redis, writer: HistoryWriter) -> None:
        """
        A line is in Redis while the job still runs.
        """
        for text in ("first", "second"):
            writer.append(NAME, HistoryEntry(NOW, "INFO", text))
            wait_until(lambda: connection.llen(HISTORY + NAME) or None, lambda: "nothing is written")
        wait_until(lambda: connection.llen(HISTORY + NAME) == 2 or None, lambda: "one line is missing")

        assert ["first", "second"] == [each.text for each in History(connection).read(NAME)]

    def test_the_end_of_the_writer_writes_waiting_lines(self, connection: Redis) -> None:
        """
        The writer writes all waiting lines before it ends.
        """
        with HistoryWriter(History(connection)) as writer:
            for number in range(20):
                writer.append(f"{number}.example.org", HistoryEntry(NOW, "INFO", "stopped"))

        assert all(History(connection).read(f"{number}.example.org") for number in range(20))
