"""
The values of environment variables, and secrets in files.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certworker.variables import LARGEST_SECRET, bare, content_of, is_line, is_utf8, value_in


class TestBare:
    def test_spaces_and_quotes_belong_to_passwords_only(self) -> None:
        """
        The function removes spaces and quotes, except from a password. Old versions of compose pass quotes
        on.
        """
        assert "redis" == bare("_APP_REDIS_HOST", ' "redis" ')
        assert ' "a" ' == bare("_APP_REDIS_PASS", ' "a" ')


class TestContentOf:
    def test_the_last_line_break_is_removed(self, tmp_path: Path) -> None:
        """
        The secret has no line break at its end, because editors add one to a file.
        """
        (tmp_path / "secret").write_text("a b\n\n")

        assert "a b\n" == content_of(str(tmp_path / "secret"))

    @pytest.mark.timeout(20)
    def test_a_file_without_a_valid_secret_is_rejected(self, tmp_path: Path) -> None:
        """
        The function rejects a pipe, a device, a directory, and a file that is empty, too large or not UTF-8.
        """
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "empty").touch()
        (tmp_path / "latin").write_bytes(b"p\xe4ss")
        (tmp_path / "large").write_bytes(b"x" * (LARGEST_SECRET + 1))
        places = [tmp_path / name for name in ("pipe", "empty", "latin", "large", "missing", "\0", ".")]
        for path in [*map(str, places), "/dev/zero"]:
            with pytest.raises(ValueError):  # noqa: PT011 (some messages come from the codec)
                content_of(path)


class TestValueIn:
    def test_a_secret_may_be_in_a_file(self, tmp_path: Path) -> None:
        """
        A variable with the suffix `_FILE` names the file of a secret, as Docker mounts it.
        """
        (tmp_path / "secret").write_text("word\n")

        assert "word" == value_in({"A_FILE": str(tmp_path / "secret")}, "A", secret=True)
        assert "" == value_in({"A_FILE": str(tmp_path / "secret")}, "A")

    def test_an_invalid_value_is_reported_without_the_value(self, tmp_path: Path) -> None:
        """
        The error message names the variable, and does not contain its value.
        """
        for environ in ({"A": "hunter2\udcff"}, {"A": "hunter2", "A_FILE": "x"}, {"A_FILE": "/hunter2"}):
            with pytest.raises(ValueError, match=r"^A") as refused:
                value_in(environ, "A", secret=True)
            assert "hunter2" not in str(refused.value)


class TestTexts:
    def test_lone_surrogates_are_not_utf8(self) -> None:
        """
        A text with a lone surrogate, by which Python represents an invalid byte, is not UTF-8.
        """
        assert is_utf8("bücher €")
        assert not is_utf8("\udcff")

    @pytest.mark.parametrize("odd", ["\n", "\r", "\0", "\x1b", "\u2028", "\x85"])
    def test_a_line_has_no_control_character(self, odd: str) -> None:
        """
        A text with a control character or a line separator is not one line.
        """
        assert is_line("My Appwrite, bücher\u00a0€")
        assert not is_line(f"a{odd}b")
