"""
How settings and groups of settings are declared.
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
    A group in a group.
    """

    key: str = setting("INNER_KEY", "a key", "none", in_file=True)


class Outer(SettingGroup):
    """
    A group.
    """

    name: str = setting("OUTER_NAME", "a name", "nothing")
    inner: Inner = Inner()


class TestGroups:
    def test_the_settings_of_each_group_are_declared(self) -> None:
        """
        The list of variables includes those of the groups in a group.
        """
        assert [("inner", Inner)] == list(groups_in(Outer))
        assert [("name", "OUTER_NAME", False), ("key", "INNER_KEY", True)] == [
            (name, variable, may_be_in_file(field)) for name, variable, field in declared(Outer)
        ]

    def test_a_group_in_a_group_is_read(self, tmp_path: Path) -> None:
        """
        From the same environment, and from the files that it names.
        """
        (tmp_path / "key").write_text("secret\n")
        environ = {"OUTER_NAME": "a", file_variable("INNER_KEY"): str(tmp_path / "key")}
        read = Outer.model_validate(Environment(Outer, environ)())

        assert ("a", "secret") == (read.name, read.inner.key)

    def test_failures_of_several_groups_are_found_together(self, tmp_path: Path) -> None:
        """
        Each names its variable.
        """
        environ = {"OUTER_NAME": "\udcff", file_variable("INNER_KEY"): str(tmp_path)}
        with pytest.raises(ValidationError) as refused:
            Outer.model_validate(Environment(Outer, environ)())

        assert ["OUTER_NAME", "INNER_KEY"] == [each["loc"][-1] for each in refused.value.errors()]


class TestTextOf:
    def test_a_file_has_a_text(self, tmp_path: Path) -> None:
        """
        Spaces and quotes around it do not count, as in a variable.
        """
        (tmp_path / "key").write_text(' "a b" \n')

        assert "a b" == text_of(SecretFile("INNER_KEY", str(tmp_path / "key"), is_second=False))

    @pytest.mark.parametrize(("content", "is_second"), [("", False), (' "" \n', False), ("a", True)])
    def test_an_empty_or_a_second_one_is_refused(self, tmp_path: Path, content: str, is_second: bool) -> None:
        """
        The file is the only place of the value, and has one.
        """
        (tmp_path / "key").write_text(content)
        with pytest.raises(UnusableFile):
            text_of(SecretFile("INNER_KEY", str(tmp_path / "key"), is_second=is_second))

    def test_other_bytes_are_refused(self) -> None:
        """
        Python represents them as lone surrogates.
        """
        with pytest.raises(Unusable, match="not UTF-8"):
            text_of("\udcff")
