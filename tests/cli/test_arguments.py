"""
Tests of the arguments and options of several commands.
"""

from __future__ import annotations

from io import StringIO

import click
import pytest

from certworker.cli.arguments import parse_names
from certworker.errors.name import Wildcard


class TestParseNames:
    def test_a_file_has_one_name_per_line(self) -> None:
        """
        The parser ignores comments, blank lines and spaces.
        """
        file = StringIO("# our shops\n\nshop.example.com\n  Blog.Example.com  # since May\r\n")

        assert ["shop.example.com", "blog.example.com"] == parse_names(
            [], file, private=False, wildcards=False
        )

    def test_arguments_come_first_and_each_name_once(self) -> None:
        """
        The parser returns the names of the arguments first, and each name once.
        """
        file = StringIO("b.example.com\na.example.com\nB.example.com\n")

        assert ["a.example.com", "b.example.com"] == parse_names(
            ["a.example.com"], file, private=False, wildcards=False
        )

    def test_every_invalid_line_is_reported_before_any_request(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        The command reports every invalid line, so that a user can correct all lines together.
        """
        file = StringIO("a.example.com\n*.example.com\nshop.local\n\x00\n")
        with pytest.raises(SystemExit) as ended:
            parse_names([], file, private=False, wildcards=False)

        *lines, last = capsys.readouterr().err.splitlines()
        assert 1 == ended.value.code
        assert [
            "line 2: [name.wildcard]",
            "line 3: [name.no_public_suffix]",
            "line 4: [name.invalid_char]",
        ] == [line.partition("]")[0] + "]" for line in lines]
        assert (
            "Nothing is requested: 3 lines are wrong. Correct the file, then run the command again." == last
        )

    def test_an_invalid_argument_is_refused_with_its_failure(self) -> None:
        """
        A name in the arguments fails with the same class as in every other interface.
        """
        with pytest.raises(Wildcard):
            parse_names(["*.example.com"], None, private=False, wildcards=False)

    @pytest.mark.parametrize("file", [None, StringIO("# nothing yet\n")])
    def test_a_call_without_names_is_a_usage_error(self, file: StringIO | None) -> None:
        """
        A call without an argument, or with an empty file, is a usage error.
        """
        with pytest.raises(click.UsageError):
            parse_names([], file, private=False, wildcards=False)
