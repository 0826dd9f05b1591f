"""
Tests of the provider that runs the operator's program.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from certworker.dns01.exec import Exec
from certworker.dns01.provider import TxtRecord
from certworker.errors import CertworkerError, Retry

RECORD = TxtRecord(
    "_acme-challenge.example.com", "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", "example.com"
)

Write = Callable[[str], Exec]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """
    Return a function that writes a shell program and returns its provider.
    """

    def write(lines: str) -> Exec:
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)
        return Exec(program)

    return write


class TestProtocol:
    def test_the_arguments_are_those_of_lego(self, write: Write, tmp_path: Path) -> None:
        """
        The program gets the arguments of lego, with a final dot after the name, and no standard input.
        """
        program = write(f'cat >> {tmp_path}/calls; printf "%s\\n" "$#" "$@" >> {tmp_path}/calls')

        program.present(RECORD)
        program.withdraw(RECORD)

        calls = (tmp_path / "calls").read_text().splitlines()
        assert calls == [
            *("3", "present", "_acme-challenge.example.com.", RECORD.value),
            *("3", "cleanup", "_acme-challenge.example.com.", RECORD.value),
        ]

    def test_no_shell_reads_the_arguments(self, write: Write, tmp_path: Path) -> None:
        """
        The program gets a name with special characters unchanged, because no shell reads it.
        """
        program = write(f'printf "%s" "$2" > {tmp_path}/name')

        program.present(TxtRecord("$(reboot); `reboot` a b", RECORD.value, "example.com"))

        assert (tmp_path / "name").read_text() == "$(reboot); `reboot` a b."

    def test_the_program_gets_no_secrets_of_certworker(
        self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The program gets PATH, the variables of the network, and those that begin with EXEC_.
        """
        secrets = {
            *("_APP_REDIS_PASS", "_APP_SMTP_PASSWORD", "CERTWORKER_EAB_HMAC_KEY", "RFC2136_TSIG_SECRET"),
            *("HTTPREQ_PASSWORD", "LEXICON_CLOUDFLARE_TOKEN", "REDIS_URL", "UNKNOWN"),
        }
        for name in {*secrets, "EXEC_TOKEN", "HTTPS_PROXY"}:
            monkeypatch.setenv(name, "given")
        write(f"env > {tmp_path}/env").present(RECORD)

        names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
        assert not secrets & names
        assert {"PATH", "EXEC_TOKEN", "HTTPS_PROXY"} <= names


class TestFailures:
    @pytest.mark.parametrize("action", ["present", "cleanup"])
    def test_a_nonzero_exit_code_is_a_failure(self, write: Write, action: str) -> None:
        """
        The failure has the exit code, and a command that repeats the failed action with its output.
        """
        program = write(f'test "$1" != {action} || exit 3')
        failing, working = program.present, program.withdraw
        if action == "cleanup":
            failing, working = working, failing

        working(RECORD)
        with pytest.raises(
            CertworkerError, match=rf"dns01\.provider_failed.*exit code 3.*{action}"
        ) as caught:
            failing(RECORD)

        assert Retry.SOON is caught.value.retry

    @pytest.mark.parametrize(
        ("change", "shown"),
        [
            (lambda path: path.unlink(), "No such file"),
            (lambda path: path.chmod(0o644), "Permission denied"),
            (lambda path: path.write_bytes(b"\0no program"), "Exec format error"),
        ],
        ids=["missing", "not executable", "no program"],
    )
    def test_a_program_that_cannot_start_is_a_failure(
        self, write: Write, change: Callable[[Path], object], shown: str
    ) -> None:
        """
        The failure has the reason why a program cannot start, for example after a change to the file.
        """
        program = write("exit 0")
        change(program.program)

        with pytest.raises(CertworkerError, match=rf"dns01\.provider_failed.*{shown}"):
            program.present(RECORD)

    def test_a_name_with_a_nul_is_a_failure(self, write: Write) -> None:
        """
        A name with a NUL is a failure, because no argument can contain one.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*cannot be started"):
            write("exit 0").present(TxtRecord("a\0b", RECORD.value, "example.com"))

    def test_a_program_that_a_signal_ends_is_a_failure(self, write: Write) -> None:
        """
        The failure has the number of the signal that ended the program.
        """
        with pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*signal 9"):
            write("kill -9 $$").present(RECORD)

    def test_a_program_that_hangs_is_killed_with_its_children(self, write: Write, tmp_path: Path) -> None:
        """
        A program that exceeds its timeout is killed with its whole process group.
        """
        program = write(f"sleep 600 & echo $! > {tmp_path}/child; wait")

        # On a busy machine, the program may start after a short timeout.
        for seconds in (0.5, 5, 50):
            with pytest.raises(CertworkerError, match=rf"dns01\.provider_failed.*within {seconds} s"):
                Exec(program.program, deadline_seconds=seconds).present(RECORD)
            if (tmp_path / "child").exists():
                break

        child = int((tmp_path / "child").read_text())
        while (status := Path(f"/proc/{child}/stat")).exists() and status.read_text().split()[2] != "Z":
            time.sleep(0.01)
        with pytest.raises(ChildProcessError):
            os.waitpid(child, 0)


class TestOutput:
    def test_a_very_long_output_is_not_read(self, write: Write) -> None:
        """
        certworker does not read the output of the program, so its length does not matter.
        """
        write("head -c 100000000 /dev/zero; head -c 100000000 /dev/zero >&2").present(RECORD)

    def test_a_secret_in_the_output_is_not_shown(
        self, write: Write, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """
        Neither the log nor the failure shows the output of the program, which may contain a token.
        """
        program = write("echo the token is s3cr3t; echo s3cr3t >&2; exit 1")

        with caplog.at_level("DEBUG"), pytest.raises(CertworkerError) as caught:
            program.present(RECORD)

        assert "s3cr3t" not in f"{caught.value!s}{caplog.text}{capfd.readouterr()}"
