"""
The `docker` command for one engine.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Docker:
    """
    The command with an environment that selects its engine.
    """

    variables: Mapping[str, str]

    def __call__(
        self, *arguments: str, stdin: str | None = None, more: Mapping[str, str] | None = None
    ) -> str:
        """
        Run `docker ARGUMENTS` with the additional variables *more*, and return its output.

        Raises:
            DockerFailed: The exit code is not 0.
        """
        ended = self.attempt(*arguments, stdin=stdin, more=more)
        if ended.returncode:
            raise DockerFailed(arguments, ended.stdout + ended.stderr)
        return ended.stdout

    def attempt(
        self, *arguments: str, stdin: str | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        Run `docker ARGUMENTS`, and return its result with any exit code.
        """
        return subprocess.run(
            ["docker", *arguments],
            env={**self.variables, **(more or {})},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )


class DockerFailed(Exception):
    """
    A docker command failed.
    """

    def __init__(self, arguments: Sequence[str], output: str) -> None:
        super().__init__(f"docker {' '.join(arguments)}\n{output}")
