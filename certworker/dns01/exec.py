"""
The operator's program, with the protocol of lego: `EXEC_PATH present|cleanup FQDN VALUE`.

The exit code 0 reports success.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from certworker.dns01.child_process import ChildFailed, environment, run
from certworker.dns01.provider import DEADLINE_SECONDS, TxtRecord
from certworker.errors.dns01 import ProgramFailed

#: The prefix of the variables that the program gets in addition to those of :func:`environment`.
PREFIX = "EXEC_"


@dataclass(frozen=True)
class Exec:
    """
    A program that changes records. It gets only the variables of :func:`environment` and EXEC_*.

    When the program ends, its background processes are killed.
    """

    program: Path
    #: The time limit of one run.
    deadline_seconds: float = DEADLINE_SECONDS
    label: str = field(default="exec", init=False)

    def present(self, record: TxtRecord) -> None:
        """
        Run the program with `present`. It must add only this value.
        """
        self._run("present", record)

    def withdraw(self, record: TxtRecord) -> None:
        """
        Run the program with `cleanup`. It must delete only this value.
        """
        self._run("cleanup", record)

    def _run(self, action: str, record: TxtRecord) -> None:
        command = [str(self.program), action, f"{record.fqdn}.", record.value]
        variables = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
        try:
            code = run(command, environment(variables), self.deadline_seconds)
            reason = f"exit code {code}" if code > 0 else f"signal {-code}"
        except ChildFailed as failed:
            code, reason = -1, str(failed)
        if code:
            raise ProgramFailed(program=self.program, action=action, fqdn=record.fqdn, reason=reason)
