"""
The names that a command is given.
"""

from __future__ import annotations

from io import StringIO

import click
import pytest

from certworker.cli.arguments import parse_names
from certworker.errors.name import Wildcard


class TestNormalised:
    def test_a_file_has_a_name_a_line(self) -> None:
        """
        Comments, blank lines and spaces are ignored.
        """
        file = StringIO("# our shops\n\nshop.example.com\n  Blog.Example.com  # since May\r\n")

        assert ["shop.example.com", "blog.example.com"] == parse_names(
            [], file, private=False, wildcards=False
        )

    def test_typed_names_come_first_and_each_name_once(self) -> None:
        """
        A list may contain a name twice.
        """
        file = StringIO("b.example.com\na.example.com\nB.example.com\n")

        assert ["a.example.com", "b.example.com"] == parse_names(
            ["a.example.com"], file, private=False, wildcards=False
        )

    def test_every_wrong_line_is_reported_before_anything_is_done(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        A user corrects a list of 50,000 names in one pass.
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

    def test_a_typed_name_is_refused_with_its_failure(self) -> None:
        """
        It is the failure of every other interface.
        """
        with pytest.raises(Wildcard):
            parse_names(["*.example.com"], None, private=False, wildcards=False)

    @pytest.mark.parametrize("file", [None, StringIO("# nothing yet\n")])
    def test_no_names_are_wrong_usage(self, file: StringIO | None) -> None:
        """
        The argument is missing, or the file is empty.
        """
        with pytest.raises(click.UsageError):
            parse_names([], file, private=False, wildcards=False)
