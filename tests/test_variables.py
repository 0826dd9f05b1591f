"""
What of a variable counts, and secrets in files.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certworker.variables import LARGEST_SECRET, bare, content_of, is_line, is_utf8, value_in


class TestBare:
    def test_spaces_and_quotes_belong_to_passwords_only(self) -> None:
        """
        Old versions of compose pass the quotes of an env_file on.
        """
        assert "redis" == bare("_APP_REDIS_HOST", ' "redis" ')
        assert ' "a" ' == bare("_APP_REDIS_PASS", ' "a" ')


class TestContentOf:
    def test_the_end_of_the_last_line_does_not_count(self, tmp_path: Path) -> None:
        """
        An editor ends it.
        """
        (tmp_path / "secret").write_text("a b\n\n")

        assert "a b\n" == content_of(str(tmp_path / "secret"))

    @pytest.mark.timeout(20)
    def test_what_is_no_file_with_a_secret_is_refused(self, tmp_path: Path) -> None:
        """
        A pipe is not waited for, and a device is not read.
        """
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "empty").touch()
        (tmp_path / "latin").write_bytes(b"p\xe4ss")
        (tmp_path / "large").write_bytes(b"x" * (LARGEST_SECRET + 1))
        places = [tmp_path / name for name in ("pipe", "empty", "latin", "large", "missing", "\0", ".")]
        for path in [*map(str, places), "/dev/zero"]:
            with pytest.raises(ValueError):  # noqa: PT011 (the codec has words of its own)
                content_of(path)


class TestValueIn:
    def test_a_secret_may_be_in_a_file(self, tmp_path: Path) -> None:
        """
        As Docker mounts secrets.
        """
        (tmp_path / "secret").write_text("word\n")

        assert "word" == value_in({"A_FILE": str(tmp_path / "secret")}, "A", secret=True)
        assert "" == value_in({"A_FILE": str(tmp_path / "secret")}, "A")

    def test_an_invalid_value_is_reported_without_the_value(self, tmp_path: Path) -> None:
        """
        The message may end in a log.
        """
        for environ in ({"A": "hunter2\udcff"}, {"A": "hunter2", "A_FILE": "x"}, {"A_FILE": "/hunter2"}):
            with pytest.raises(ValueError, match=r"^A") as refused:
                value_in(environ, "A", secret=True)
            assert "hunter2" not in str(refused.value)


class TestTexts:
    def test_lone_surrogates_are_no_utf8(self) -> None:
        """
        They are how the environment shows other bytes.
        """
        assert is_utf8("bücher €")
        assert not is_utf8("\udcff")

    @pytest.mark.parametrize("odd", ["\n", "\r", "\0", "\x1b", "\u2028", "\x85"])
    def test_a_line_has_no_control_character(self, odd: str) -> None:
        """
        Headers, logs and terminals would read more than one.
        """
        assert is_line("My Appwrite, bücher\u00a0€")
        assert not is_line(f"a{odd}b")
