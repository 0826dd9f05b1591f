"""
Tests of the output of commands on a real terminal, with hostile texts.
"""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from certworker.cli.output import LONGEST_LINE, numbers, progress_line, say, say_json
from certworker.observability.history import HISTORY
from certworker.renewal.agenda import AGENDA
from certworker.state.domain_records import RECORDS
from certworker.worker.producer import QUEUE_KEY, request_certificate
from tests.servers.worker import PATIENCE_SECONDS, WorkerProcess

NAME = "shop.localhost"
CLI = Path(__file__).parents[2] / "certworker" / "cli"

#: A text that clears the screen, changes the title, adds a line and writes from right to left.
HOSTILE = (
    "m\x1b[2J\x1b]0;pwn\a\r\nfake\x9b31m\N{RIGHT-TO-LEFT OVERRIDE}\N{LINE SEPARATOR}\x7f\x00" + "x" * 3_000
)

#: The same text without NUL, which no argument and no file name can contain.
PLAIN = HOSTILE.replace("\x00", "")

#: The escaped beginning of the text.
MARK = "m\\x1b[2J"

#: The JSON fields of a finding of the doctor.
FIELDS = {"section", "subject", "verdict", "text", "remedy", "code", "docs"}

#: The escape sequences of colors, which certworker prints.
COLOR = re.compile(r"\x1b\[[0-9;]*m")


def shown(worker: WorkerProcess, *arguments: str) -> tuple[int, str]:
    """
    Run a command on a terminal, and return its exit code and output.
    """
    terminal, side = pty.openpty()
    environment = {**worker.environment, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "certworker", *arguments]
    process = subprocess.Popen(command, env=environment, stdin=side, stdout=side, stderr=side)
    os.close(side)
    got, deadline = b"", time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            some = os.read(terminal, 65_536)
        except OSError:  # The command has closed its side of the terminal.
            break
        if not some:
            break
        got += some
    os.close(terminal)
    return process.wait(PATIENCE_SECONDS), got.decode()


def plant(connection: Any) -> None:
    """
    Write hostile values into each Redis key that a command reads.
    """
    fields = dict.fromkeys(("code", "message", "remedy", "serial", "authority", "names"), HOSTILE)
    record = {"state": "failed", "updated": "2026-01-01T00:00:00Z", "attempts": "9" * 5_000}
    connection.hset(RECORDS + NAME, mapping=fields | record)
    connection.hset(RECORDS + "large.localhost", mapping=record | {"message": "x" * 20_000_000})
    names = [NAME, "large.localhost", HOSTILE, "..", "x" * 1_000_000, b"\xff\xfe"]
    connection.zadd(AGENDA, dict.fromkeys(names, 9e9))
    for line in ([HOSTILE] * 3, ["2026-01-01T00:00:00Z", HOSTILE, HOSTILE], HOSTILE):
        connection.rpush(HISTORY + NAME, json.dumps(line))
    connection.rpush(HISTORY + NAME, HOSTILE, "x" * 1_000_000)
    connection.sadd("rq:queues", "rq:queue:" + HOSTILE[:200], "rq:queue:other")
    connection.rpush("rq:queue:" + HOSTILE[:200], "x")
    connection.rpush("rq:queue:other", "x")
    connection.zadd("certworker:budget:custom", {"stop": float("inf"), HOSTILE[:100]: 1e300})


def plant_for_the_doctor(worker: WorkerProcess, connection: Any) -> None:
    """
    Write hostile values into everything else that the doctor reads.
    """
    report = {"host": HOSTILE[:90], "healthy": False, "scheduler": False, "stalled": [HOSTILE[:90]]}
    connection.set("certworker:health:odd", json.dumps({**report, "reason": HOSTILE[:90]}))
    connection.sadd("certworker:health", "odd")
    for directory in ("CERTWORKER_CONFIG_DIR", "CERTWORKER_CERTIFICATES_DIR"):
        file = Path(worker.environment[directory]) / f"{PLAIN[:30]}.yml"
        file.write_text(PLAIN)
    # The doctor reports the code of a blocked name in a separate field.
    connection.hset(RECORDS + NAME, "state", "waiting")


def is_clean(text: str) -> bool:
    """
    Return whether *text* consists of printable lines and colors.
    """
    return all(line.isprintable() for line in COLOR.sub("", text).replace("\r\n", "\n").split("\n"))


def compressed_bomb() -> bytes:
    """
    Return 300 MB of text that begins with a hostile line, compressed.

    The memory of this process counts as that of a new child, so the function compresses in parts.
    """
    packer = zlib.compressobj()
    begin = packer.compress(b"[x] " + HOSTILE.encode() + b"\n")
    return begin + b"".join(packer.compress(b"y" * 1_000_000) for _ in range(300)) + packer.flush()


class TestTerminal:
    @pytest.mark.parametrize(
        "command",
        [
            ("status",),
            ("status", "--summary"),
            ("status", "--json"),
            ("status", NAME),
            ("status", "--json", NAME),
            ("explain", NAME),
            ("explain", "--json", NAME),
            ("explain", "large.localhost"),
            ("doctor", NAME),
            ("doctor", "--json", NAME),
            ("status", HOSTILE[:50].replace("\x00", "")),
            ("explain", "a\x1b[2J.org"),
        ],
        ids=lambda command: " ".join(command).encode("ascii", "backslashreplace").decode()[:40],
    )
    def test_hostile_values_are_printed_safely(
        self, worker: WorkerProcess, connection: Redis, command: tuple[str, ...]
    ) -> None:
        """
        No value moves the cursor, hides text, adds a line or causes a traceback.
        """
        plant(connection)

        code, text = shown(worker, *command)

        assert is_clean(text), text
        assert "Traceback" not in text
        assert code in (0, 1, 2)
        assert len(text) < 200_000
        if command[0] != "doctor" and "\x1b" not in command[-1] and "--summary" not in command:
            assert "localhost" in text

    def test_each_field_of_the_doctor_can_be_hostile(self, worker: WorkerProcess, connection: Redis) -> None:
        """
        Hostile text reaches every field but three, and is printable in each of them.

        The verdict is one of four values, and `docs` is empty for an unknown code. The
        subject is a word of certworker or a setting, and settings have no control characters.
        """
        plant(connection)
        plant_for_the_doctor(worker, connection)
        names = NAME, PLAIN[:60]

        code, text = shown(worker, "doctor", "--json", *names)
        findings = [json.loads(line) for line in text.splitlines()]
        _, as_text = shown(worker, "doctor", *names)

        assert 2 == code
        assert FIELDS == {field for finding in findings for field in finding}
        assert FIELDS - {"verdict", "subject", "docs"} == {
            field for finding in findings for field, value in finding.items() if MARK in value
        }
        assert all(value.isprintable() for finding in findings for value in finding.values())
        assert is_clean(as_text), as_text
        assert MARK in as_text

    @pytest.mark.parametrize("status", ["finished", "failed", "x\x1b[2J", "\xff"])
    @pytest.mark.parametrize("pack", [zlib.compress, bytes])
    def test_the_result_of_a_request_is_printable(
        self, worker: WorkerProcess, connection: Any, status: str, pack: Any
    ) -> None:
        """
        A hostile result of a job is printed as short, printable text, and needs little memory.
        """
        job_id = request_certificate(NAME, connection=connection)
        connection.delete(QUEUE_KEY)
        odd = {"status": status, "created_at": "x", "timeout": "1e400", "data": b"\xff" * 100_000}
        packed = b64encode(compressed_bomb() if pack is zlib.compress else HOSTILE.encode())
        connection.hset(f"rq:job:{job_id}", mapping=odd)
        state = b64encode(json.dumps({"state": HOSTILE}).encode())
        connection.xadd(f"rq:results:{job_id}", {"exc_string": packed, "return_value": state, "type": "9"})
        connection.rpush(QUEUE_KEY, job_id)
        before = children_kilobytes()
        # The request is in the queue, so the command follows this job and creates no other.
        connection.hset(f"rq:job:{job_id}", "status", "queued")
        process = start_following(worker)
        connection.hset(f"rq:job:{job_id}", "status", status)

        text, _ = process.communicate(timeout=PATIENCE_SECONDS)

        assert is_clean(text), text
        assert "Traceback" not in text
        assert len(text) < 20_000
        assert children_kilobytes() - before < 200_000


class TestSay:
    def test_a_line_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        The function escapes and shortens a hostile text.
        """
        say(HOSTILE + "x" * 1_000_000)
        out = capsys.readouterr().out

        assert out.startswith("m\\x1b[2J")
        assert (1, LONGEST_LINE + 1) == (out.count("\n"), len(out))

    def test_json_is_ascii(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        The JSON output is ASCII, and a program parses the original text.
        """
        say_json({"message": HOSTILE})
        out = capsys.readouterr().out

        assert out.isascii()
        assert out.strip().isprintable()
        assert {"message": HOSTILE} == json.loads(out)

    def test_commands_print_with_these_functions_only(self) -> None:
        """
        Only the demo, and the doctor for its JSON report, print with `click.echo`.
        """
        others = {path.stem: path.read_text().count("click.echo(") for path in CLI.glob("*.py")}

        assert {"output", "demo", "doctor"} == {name for name, count in others.items() if count}
        assert 1 == others["doctor"]


def children_kilobytes() -> int:
    """
    Return the largest memory of any ended child of this process, in kilobytes.
    """
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def start_following(worker: WorkerProcess) -> subprocess.Popen[str]:
    """
    Start the command that follows a request.
    """
    command = [sys.executable, "-m", "certworker", "request", "--wait", "--timeout", "2", NAME]
    return subprocess.Popen(
        command, env=worker.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


class Terminal(io.StringIO):
    """
    A text stream that claims to be a terminal.
    """

    def isatty(self) -> bool:
        """
        Return True.
        """
        return True


class TestProgressLine:
    def test_a_terminal_gets_one_line_that_is_removed_at_the_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The line shows the progress and the failures, and is removed at the end.
        """
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with progress_line() as update:
            update(1_100, 3, 1_200)
        text = terminal.getvalue()

        assert "1,100 of 1,200 done, 3 failed" in text
        assert text.endswith("\x1b[2K")

    def test_a_file_gets_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A file gets no progress line, and the program does not import rich.
        """
        file = io.StringIO()
        monkeypatch.setattr(sys, "stderr", file)
        monkeypatch.delitem(sys.modules, "rich.progress", raising=False)
        with progress_line() as update:
            update(1, 0, 2)

        assert "" == file.getvalue()
        assert "rich.progress" not in sys.modules

    @pytest.mark.parametrize(
        ("rate", "ending"),
        [
            (None, "0 failed"),
            (40.0, "40.0/s, 0:02 left"),
            (1.0, "1.0/s, 1:28 left"),
            (0.01, "0.0/s, 2:26:40 left"),
        ],
    )
    def test_the_rate_determines_the_remaining_time(self, rate: float | None, ending: str) -> None:
        """
        The line has the remaining time, or the failures without a known rate.
        """
        assert numbers(112, 0, 200, rate).startswith("112 of 200 done")
        assert numbers(112, 0, 200, rate).endswith(ending)
