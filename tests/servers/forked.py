"""
Programs that run in forks of an interpreter, which has imported the modules of all commands.

The start of an interpreter with these modules takes most of the time of a short program. A fork is also a
process of its own, with its own environment and output. The tests of the command line start new interpreters.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: The variables that count only at the start of an interpreter, and those of this one.
OF_THE_START = ("PYTHON", "LD_", "SSL_", "LC_", "LANG", "TZ")
HERE = {name: value for name, value in os.environ.items() if name.startswith(OF_THE_START)}

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.servers.warm"])


class Forked:
    """
    A process that runs the module *module* with *arguments*, and appends its output to files.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdout: Path,
        stderr: Path,
    ) -> None:
        given = (module, list(arguments), dict(environment), str(stdout), str(stderr), str(Path.cwd()))
        self._process = FORKING.Process(target=_run, args=given, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """
        Return the exit code; the negative number of the signal that ended it; None while it runs.
        """
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """
        Return the exit code as soon as the process has ended.

        Raises:
            subprocess.TimeoutExpired: It runs for longer than *timeout* in seconds.
        """
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """
        Send a signal, unless the process has ended.
        """
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """
        Send SIGKILL.
        """
        self.send_signal(signal.SIGKILL)


def start(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], *, stdout: Path, stderr: Path
) -> Forked | subprocess.Popen[bytes]:
    """
    Run *module* in a fork, or in a new interpreter if *environment* has other variables for its start.
    """
    variables = {name: value for name, value in environment.items() if name.startswith(OF_THE_START)}
    if set(variables.items()) <= set(HERE.items()):
        return Forked(module, arguments, environment, stdout=stdout, stderr=stderr)
    with stdout.open("ab") as output, stderr.open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=environment, stdout=output, stderr=errors
        )


def _run(
    module: str, arguments: list[str], environment: dict[str, str], stdout: str, stderr: str, directory: str
) -> None:
    for number, file in ((1, stdout), (2, stderr)):
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
