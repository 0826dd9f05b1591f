"""
The log tells the stories.
"""

from __future__ import annotations

import logging
from datetime import datetime

import pytest

from certworker.observability.history_handler import HistoryLogHandler


class TestNarrator:
    def test_lines_about_a_name_are_handed_over_and_others_are_not(self) -> None:
        """
        With level and sentence as the log has them, the code included.
        """
        told: list[tuple[str, datetime, str, str]] = []
        logger = logging.Logger("certworker.test")
        logger.addHandler(HistoryLogHandler(lambda *event: told.append(event)))
        failure = {"message": "It failed.", "remedy": "Do this."}
        logger.info("ready")
        logger.debug("a detail", extra={"domain": "shop.example.org"})
        logger.warning("no", extra={"domain": "shop.example.org", "code": "dns.no_record", "fields": failure})

        assert [("shop.example.org", "WARN", "no [dns.no_record] It failed. Do this.")] == [
            (name, level, text) for name, _, level, text in told
        ]

    def test_one_that_cannot_tell_does_not_fail_the_caller(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        An error in the history must not become an error of the step that logs.
        """

        def broken(*_: object) -> None:
            raise ValueError("odd")

        logger = logging.Logger("certworker.test")
        logger.addHandler(HistoryLogHandler(broken))
        logger.info("ready", extra={"domain": "shop.example.org"})

        assert "ValueError: odd" in capsys.readouterr().err
