"""
Hands each line of the log that is about a name to whoever keeps the story of that name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from certworker.observability.log import LEVELS, sentence


class HistoryLogHandler(logging.Handler):
    """
    A handler for the "certworker" logger.

    Args:
        tell: Takes the name, the moment, the level and the sentence.
    """

    def __init__(self, tell: Callable[[str, datetime, str, str], None]) -> None:
        super().__init__(logging.INFO)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """
        Tell *record*, if it is about a name.
        """
        try:
            if name := getattr(record, "domain", None):
                moment = datetime.fromtimestamp(record.created, UTC)
                self._tell(name, moment, LEVELS.get(record.levelno, record.levelname), sentence(record))
        except Exception:
            # As every handler of the standard library: whoever logs must not fail for it.
            self.handleError(record)
