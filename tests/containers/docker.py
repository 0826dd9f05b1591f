"""
The `docker` command, on one engine.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Docker:
    """
    The command in an environment that leads it to its engine.
    """

    variables: Mapping[str, str]

    def __call__(
        self, *arguments: str, stdin: str | None = None, more: Mapping[str, str] | None = None
    ) -> str:
        """
        What `docker ARGUMENTS` prints; *more* variables are added to its environment.

        Raises:
            DockerFailed: It ended with another exit code than 0.
        """
        ended = self.attempt(*arguments, stdin=stdin, more=more)
        if ended.returncode:
            raise DockerFailed(arguments, ended.stdout + ended.stderr)
        return ended.stdout

    def attempt(
        self, *arguments: str, stdin: str | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        How `docker ARGUMENTS` ended, whichever way.
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
