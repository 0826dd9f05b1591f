"""
The progress of long work on a terminal.
"""

from __future__ import annotations

import io
import sys

import pytest

from certworker.cli.progress import numbers, progress_line


class Terminal(io.StringIO):
    """
    A standard error that is a terminal.
    """

    def isatty(self) -> bool:
        """
        Return True.
        """
        return True


class TestProgressLine:
    def test_a_terminal_gets_one_line_that_ends_with_the_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The line shows what is done and what failed, is rewritten in place, and is removed at the end.
        """
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with progress_line() as update:
            update(1_100, 3, 1_200)
        text = terminal.getvalue()

        assert "1,100 of 1,200 done, 3 failed" in text
        assert text.endswith("\x1b[2K")

    def test_a_file_gets_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Control characters belong on terminals, and rich is not even imported.
        """
        file = io.StringIO()
        monkeypatch.setattr(sys, "stderr", file)
        monkeypatch.delitem(sys.modules, "rich.progress", raising=False)
        with progress_line() as update:
            update(1, 0, 2)

        assert "" == file.getvalue()
        assert "rich.progress" not in sys.modules

    @pytest.mark.parametrize(
        ("rate", "ending"),
        [
            (None, "0 failed"),
            (40.0, "40.0/s, 0:02 left"),
            (1.0, "1.0/s, 1:28 left"),
            (0.01, "0.0/s, 2:26:40 left"),
        ],
    )
    def test_the_rate_gives_the_time_left(self, rate: float | None, ending: str) -> None:
        """
        Without a rate there is no forecast.
        """
        assert numbers(112, 0, 200, rate).startswith("112 of 200 done")
        assert numbers(112, 0, 200, rate).endswith(ending)
