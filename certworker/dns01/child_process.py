"""
Child processes of providers: a deadline for the whole process group, no input, and bounded output.

The group ends with its program: processes that are still running in the background are killed. As the first
process of a container, the worker inherits such processes, and reaps them.

The output of a program may contain secrets, so this module neither logs it nor copies it into a failure.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

#: The interval between two checks of whether the program has ended. The end of the pipe does not show this: a
#: background process may hold the pipe open.
POLL_SECONDS = 0.1

#: How long to wait for the end of killed processes. A process of another user cannot be killed.
END_SECONDS = 2.0

#: The variables that each program gets for the network: proxies and trusted CAs.
NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)


class ChildFailed(Exception):
    """
    The program cannot be started, or does not end in time.
    """


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """
    Return the environment of a program: PATH, LANG, those of :data:`NETWORK`, and *variables*.

    Other variables of certworker may contain secrets, such as the passwords of Redis and the mail server.
    """
    network = {name: os.environ[name] for name in NETWORK if name in os.environ}
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **network, **variables}


def run(command: Sequence[str], variables: Mapping[str, str], deadline_seconds: float) -> int:
    """
    Run *command* without a shell, discard its output, and return its exit code.

    If a signal ended the program, return the negative number of the signal.

    Raises:
        ChildFailed: The command cannot be started, or runs longer than *deadline_seconds* and is killed.
    """
    with _started(command, variables, subprocess.DEVNULL) as process:
        try:
            return process.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            raise _late(deadline_seconds) from None


def read(
    command: Sequence[str], variables: Mapping[str, str], deadline_seconds: float, longest: int
) -> bytes:
    """
    Run *command* without a shell, and return the first *longest* bytes of its standard output.

    The exit code is ignored.

    Raises:
        ChildFailed: As for :func:`run`.
    """
    until = time.monotonic() + deadline_seconds
    output = b""
    with _started(command, variables, subprocess.PIPE) as process, selectors.DefaultSelector() as selector:
        assert process.stdout  # noqa: S101 (it is a pipe)
        pipe = process.stdout.fileno()
        os.set_blocking(pipe, False)
        selector.register(pipe, selectors.EVENT_READ)
        ended = False
        while not ended:
            if time.monotonic() >= until:
                raise _late(deadline_seconds)
            ended = process.poll() is not None
            if selector.select(0 if ended else POLL_SECONDS):
                part = os.read(pipe, 65_536)
                output = (output + part)[:longest]
                # The pipe may contain more. An empty part means that all writers have closed it.
                ended = not part and _waited(process, until - time.monotonic())
    return output


def _waited(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, seconds))
    return process.poll() is not None


def _late(deadline_seconds: float) -> ChildFailed:
    return ChildFailed(f"it did not end within {deadline_seconds:g} s")


@contextmanager
def _started(
    command: Sequence[str], variables: Mapping[str, str], output: int
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        process = subprocess.Popen(  # noqa: S603 (a setting of the operator; no shell reads it)
            command,
            env=variables,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ChildFailed(f"it cannot be started ({reason})") from None
    try:
        yield process
    finally:
        _end_group(process)
        if process.stdout:
            process.stdout.close()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + END_SECONDS
    # The program leads its own session, so its children belong to its group. The kernel does not reuse
    # the number of a group while the group has members, and not soon afterward.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    _waited(process, END_SECONDS)
    with suppress(ChildProcessError):
        while time.monotonic() < until:
            if os.waitpid(-process.pid, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
