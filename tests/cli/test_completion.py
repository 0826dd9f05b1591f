"""
Tests of the shell completion that docs/reference/cli.md describes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def environment(**variables: str) -> dict[str, str]:
    """
    Return an environment with the program `certworker` on its path, and with *variables*.
    """
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables}


def complete(shell: str, words: str, position: int) -> str:
    """
    Return what click offers at *position* of *words*.
    """
    variables = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(position),
        "_CERTWORKER_COMPLETE": f"{shell}_complete",
    }
    if shell == "fish":
        variables["COMP_CWORD"] = words.split()[-1]
    return subprocess.run(
        ["certworker"], env=environment(**variables), capture_output=True, text=True, check=False
    ).stdout


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_each_documented_shell_completes_commands_and_options(self, shell: str) -> None:
        """
        Each shell completes the names of commands and their options.
        """
        assert f"_CERTWORKER_COMPLETE={shell}_source certworker" in PAGE.read_text()
        assert "explain" in complete(shell, "certworker expl", 1)
        assert "--watch" in complete(shell, "certworker status --wa", 2)

    def test_the_line_for_bash_works(self) -> None:
        """
        After the documented line, bash has a completion for the program.
        """
        (line,) = re.findall(r"`(eval .*bash_source.*)`", PAGE.read_text())
        bash = shutil.which("bash")
        assert bash
        ended = subprocess.run(
            [bash, "-ec", f"{line}; complete -p certworker"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

        assert "complete" in ended.stdout
        assert ended.stdout.endswith("certworker\n")
