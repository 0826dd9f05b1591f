"""
Tests of the child processes of DNS providers.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from certworker.dns01.child_process import NETWORK, ChildFailed, environment, read, run

VARIABLES = {"PATH": "/usr/bin:/bin"}


def shell(lines: str) -> list[str]:
    """
    Return the command that runs *lines* in a shell.
    """
    return ["/bin/sh", "-c", lines]


class TestRead:
    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            ("echo hello", b"hello\n"),
            ("exit 1", b""),
            ("echo an error >&2", b""),
            ("printf 12345678901234567890123456789012", b"1" + b"234567890" + b"1234567890" * 2),
            ("echo early; exec >&-; sleep 0.2", b"early\n"),
        ],
        ids=["text", "nothing", "stderr", "too long", "closed early"],
    )
    def test_the_first_bytes_of_standard_output_are_returned(self, lines: str, expected: bytes) -> None:
        """
        The function returns the first bytes of the standard output.
        """
        assert read(shell(lines), VARIABLES, 20, 30) == expected

    def test_a_very_long_output_is_cut(self) -> None:
        """
        A program that writes 100 MB ends, and only the first bytes of its output remain.
        """
        flood = f"{sys.executable} -c \"import os; [os.write(1, b'x' * 1_000_000) for _ in range(100)]\""

        assert read(shell(flood), VARIABLES, 60, 10) == b"x" * 10

    def test_a_background_process_does_not_delay_the_reader(self) -> None:
        """
        The function returns when the program ends, although a background process still has the pipe.
        """
        assert read(shell("echo done; sleep 600 & "), VARIABLES, 20, 100) == b"done\n"

    @pytest.mark.parametrize(
        "lines",
        ["sleep 600", "exec >&-; sleep 600", "while :; do echo flood; done"],
        ids=["", "closed", "flood"],
    )
    def test_a_program_that_exceeds_its_timeout_is_a_failure(self, lines: str) -> None:
        """
        A program that exceeds its timeout is a failure, with or without output.
        """
        with pytest.raises(ChildFailed, match=r"within 0\.3 s"):
            read(shell(lines), VARIABLES, 0.3, 10)


class TestRun:
    @pytest.mark.parametrize(("lines", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -15 $$", -15)])
    def test_the_exit_code_is_returned(self, lines: str, code: int) -> None:
        """
        The function returns the exit code, which is negative after a signal.
        """
        assert run(shell(lines), VARIABLES, 20) == code

    def test_a_program_runs_in_the_root_directory(self, tmp_path: Path) -> None:
        """
        A program runs in the root directory, where relative paths fail early.
        """
        assert run(shell(f"pwd > {tmp_path}/pwd"), VARIABLES, 20) == 0
        assert (tmp_path / "pwd").read_text() == "/\n"


#: Adopts orphaned processes, as the first process of a container does, and runs a command.
FIRST_PROCESS = """
import ctypes, os, sys
from contextlib import suppress
from certworker.dns01.child_process import ChildFailed, run
PR_SET_CHILD_SUBREAPER = 36
assert not ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
with suppress(ChildFailed):
    run(["/bin/sh", "-c", sys.argv[1]], {"PATH": "/usr/bin:/bin"}, float(sys.argv[2]))
with suppress(ChildProcessError):
    sys.exit(f"a child is left: {os.waitpid(-1, os.WNOHANG)}")
"""


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ("sleep 600 &", 60.0),
        ("(sleep 600; sleep 600) & sleep 600 &", 60.0),
        ("true & exit 1", 60.0),
        ("sleep 600 & wait", 1.0),
        ("sleep 600", 1.0),
    ],
)
def test_no_process_of_a_program_remains(lines: str, seconds: float) -> None:
    """
    No process and no zombie of a program remains, whether it ends or exceeds its timeout.
    """
    command = [sys.executable, "-c", FIRST_PROCESS, lines, str(seconds)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert ("", 0) == (ended.stderr, ended.returncode)


def test_the_environment_has_the_given_variables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A program gets the given variables, and those that it needs to reach the network.
    """
    monkeypatch.setenv("_APP_REDIS_PASS", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")

    found = environment({"LEXICON_GANDI_AUTH_TOKEN": "a"})

    assert set(found) <= {"PATH", "LANG", *NETWORK, "LEXICON_GANDI_AUTH_TOKEN"}
    assert found["HTTPS_PROXY"] == "http://proxy:3128"
    assert found["LEXICON_GANDI_AUTH_TOKEN"] == "a"
