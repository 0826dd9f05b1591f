"""
Tests of the declaration of settings and of groups of settings.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from certworker.settings.fields import (
    SecretFile,
    SettingGroup,
    Unusable,
    UnusableFile,
    declared,
    file_variable,
    groups_in,
    may_be_in_file,
    setting,
    text_of,
)
from certworker.settings.loading import Environment


class Inner(SettingGroup):
    """
    A group inside another group.
    """

    key: str = setting("INNER_KEY", "a key", "none", in_file=True)


class Outer(SettingGroup):
    """
    A group that contains another group.
    """

    name: str = setting("OUTER_NAME", "a name", "nothing")
    inner: Inner = Inner()


class TestGroups:
    def test_the_settings_of_each_group_are_declared(self) -> None:
        """
        The list of variables includes those of nested groups.
        """
        assert [("inner", Inner)] == list(groups_in(Outer))
        assert [("name", "OUTER_NAME", False), ("key", "INNER_KEY", True)] == [
            (name, variable, may_be_in_file(field)) for name, variable, field in declared(Outer)
        ]

    def test_a_nested_group_is_read(self, tmp_path: Path) -> None:
        """
        A nested group is read from the same environment, and from the files that it names.
        """
        (tmp_path / "key").write_text("secret\n")
        environ = {"OUTER_NAME": "a", file_variable("INNER_KEY"): str(tmp_path / "key")}
        read = Outer.model_validate(Environment(Outer, environ)())

        assert ("a", "secret") == (read.name, read.inner.key)

    def test_failures_of_several_groups_are_found_together(self, tmp_path: Path) -> None:
        """
        The failures of all groups are found together, and each names its variable.
        """
        environ = {"OUTER_NAME": "\udcff", file_variable("INNER_KEY"): str(tmp_path)}
        with pytest.raises(ValidationError) as refused:
            Outer.model_validate(Environment(Outer, environ)())

        assert ["OUTER_NAME", "INNER_KEY"] == [each["loc"][-1] for each in refused.value.errors()]


class TestTextOf:
    def test_the_text_of_a_file_is_returned(self, tmp_path: Path) -> None:
        """
        The text has no surrounding spaces and quotes, as that of a variable.
        """
        (tmp_path / "key").write_text(' "a b" \n')

        assert "a b" == text_of(SecretFile("INNER_KEY", str(tmp_path / "key"), is_second=False))

    @pytest.mark.parametrize(("content", "is_second"), [("", False), (' "" \n', False), ("a", True)])
    def test_an_empty_or_a_second_value_is_refused(
        self, tmp_path: Path, content: str, is_second: bool
    ) -> None:
        """
        A file without a value, or in addition to a variable, is refused.
        """
        (tmp_path / "key").write_text(content)
        with pytest.raises(UnusableFile):
            text_of(SecretFile("INNER_KEY", str(tmp_path / "key"), is_second=is_second))

    def test_invalid_utf_8_is_refused(self) -> None:
        """
        A text that is not UTF-8, which Python represents with lone surrogates, is refused.
        """
        with pytest.raises(Unusable, match="not UTF-8"):
            text_of("\udcff")
