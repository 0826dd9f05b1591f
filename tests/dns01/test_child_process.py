"""
Child processes of providers.
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
    Return the command that runs *lines*.
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
    def test_it_returns_the_first_bytes(self, lines: str, expected: bytes) -> None:
        """
        Only standard output counts, and only its beginning.
        """
        assert read(shell(lines), VARIABLES, 20, 30) == expected

    def test_a_flood_is_read_and_dropped(self) -> None:
        """
        A program that writes 100 MB ends, and its beginning is all that remains.
        """
        flood = f"{sys.executable} -c \"import os; [os.write(1, b'x' * 1_000_000) for _ in range(100)]\""

        assert read(shell(flood), VARIABLES, 60, 10) == b"x" * 10

    def test_a_background_process_does_not_hold_the_reader(self) -> None:
        """
        It inherits the pipe, and the program itself has ended.
        """
        assert read(shell("echo done; sleep 600 & "), VARIABLES, 20, 100) == b"done\n"

    @pytest.mark.parametrize(
        "lines",
        ["sleep 600", "exec >&-; sleep 600", "while :; do echo flood; done"],
        ids=["", "closed", "flood"],
    )
    def test_the_deadline(self, lines: str) -> None:
        """
        Whatever the program does with its output, it ends in time.
        """
        with pytest.raises(ChildFailed, match=r"within 0\.3 s"):
            read(shell(lines), VARIABLES, 0.3, 10)


class TestRun:
    @pytest.mark.parametrize(("lines", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -15 $$", -15)])
    def test_it_returns_the_exit_code(self, lines: str, code: int) -> None:
        """
        A signal is negative.
        """
        assert run(shell(lines), VARIABLES, 20) == code

    def test_the_directory_of_the_worker_is_not_theirs(self, tmp_path: Path) -> None:
        """
        A program that writes relative paths fails early, in the root directory.
        """
        assert run(shell(f"pwd > {tmp_path}/pwd"), VARIABLES, 20) == 0
        assert (tmp_path / "pwd").read_text() == "/\n"


#: Becomes the parent of orphans, as the first process of a container is, and runs a command.
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
def test_nothing_of_a_program_remains(lines: str, seconds: float) -> None:
    """
    Otherwise the processes of the programs, or their zombies, would fill the container.
    """
    command = [sys.executable, "-c", FIRST_PROCESS, lines, str(seconds)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert ("", 0) == (ended.stderr, ended.returncode)


def test_the_environment_has_the_given_variables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Besides them, a program gets what it needs to reach the network.
    """
    monkeypatch.setenv("_APP_REDIS_PASS", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")

    found = environment({"LEXICON_GANDI_AUTH_TOKEN": "a"})

    assert set(found) <= {"PATH", "LANG", *NETWORK, "LEXICON_GANDI_AUTH_TOKEN"}
    assert found["HTTPS_PROXY"] == "http://proxy:3128"
    assert found["LEXICON_GANDI_AUTH_TOKEN"] == "a"
