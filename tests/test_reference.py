"""
The generated tables of the reference.
"""

from __future__ import annotations

import re

from certworker.cli import COMMANDS
from certworker.settings import load
from tests.reference import DEFAULTS, GROUPS, cell, commands, settings, variables


class TestSettings:
    def test_each_variable_is_in_one_group(self) -> None:
        """
        The tables have each variable of `.env.example` once.
        """
        names = sorted(name for name, _, _ in variables())
        first_cells = re.findall(r"^\| (`.+?`) \|", settings(), re.MULTILINE)

        assert len(names) > 40
        assert names == sorted(re.findall(r"`(\w+)`", " ".join(first_cells)))

    def test_a_setting_and_its_file_share_a_row(self) -> None:
        """
        A row has both variables if one sentence describes them, otherwise each has a row.
        """
        assert "| `EXEC_PATH`, `EXEC_PATH_FILE` | – | For exec: " in settings()
        assert "| `_APP_REDIS_PASS_FILE` | – | A file with the password of Redis " in settings()

    def test_a_variable_with_another_value_has_its_default(self) -> None:
        """
        The table has the default of a variable for which `.env.example` has another value.
        """
        assert load(DEFAULTS) == load({})

    def test_each_variable_has_a_meaning(self) -> None:
        """
        Each variable has a meaning. Consecutive variables share the sentence above the first one.
        """
        assert [] == [name for name, _, meaning in variables() if not meaning]

    def test_each_group_has_variables(self) -> None:
        """
        Each prefix of a group fits a variable.
        """
        names = [f"{name}=" for name, _, _ in variables()]

        assert [] == [
            group
            for group, beginnings in GROUPS.items()
            if not any(name.startswith(beginnings) for name in names)
        ]


class TestCommands:
    def test_each_command_has_its_section(self) -> None:
        """
        Each command has a section with its options.
        """
        text = commands()

        assert [] == [name for name in COMMANDS if f"## certworker {name}\n" not in text]
        assert "| `--together` | " in text
        assert "### certworker account rotate-key\n" in text


def test_a_cell_has_no_column_separator_and_no_markup() -> None:
    """
    A cell shows a variable as code, and a bar and a bracket as text.
    """
    assert cell("_APP_ENV|<x>") == "`_APP_ENV`\\|&lt;x>"
