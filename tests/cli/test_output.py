"""
The output of commands on a real terminal, with hostile texts.
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

#: Clears the screen, changes the title, adds a line, writes from right to left, and ends no text.
HOSTILE = (
    "m\x1b[2J\x1b]0;pwn\a\r\nfake\x9b31m\N{RIGHT-TO-LEFT OVERRIDE}\N{LINE SEPARATOR}\x7f\x00" + "x" * 3_000
)

#: The same, as an argument or the name of a file can be.
PLAIN = HOSTILE.replace("\x00", "")

#: How its beginning is shown.
MARK = "m\\x1b[2J"

#: Of a finding of the doctor, as JSON.
FIELDS = {"section", "subject", "verdict", "text", "remedy", "code", "docs"}

#: Colors, which are the command's own.
COLOR = re.compile(r"\x1b\[[0-9;]*m")


def shown(worker: WorkerProcess, *arguments: str) -> tuple[int, str]:
    """
    Run a command on a terminal; return its exit code and everything that the terminal got.
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
        except OSError:  # the other side is closed
            break
        if not some:
            break
        got += some
    os.close(terminal)
    return process.wait(PATIENCE_SECONDS), got.decode()


def plant(connection: Any) -> None:
    """
    Write hostile values wherever a command reads.
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
    Write hostile values wherever the doctor reads beside Redis's records.
    """
    report = {"host": HOSTILE[:90], "healthy": False, "scheduler": False, "stalled": [HOSTILE[:90]]}
    connection.set("certworker:health:odd", json.dumps({**report, "reason": HOSTILE[:90]}))
    connection.sadd("certworker:health", "odd")
    for directory in ("CERTWORKER_CONFIG_DIR", "CERTWORKER_CERTIFICATES_DIR"):
        file = Path(worker.environment[directory]) / f"{PLAIN[:30]}.yml"
        file.write_text(PLAIN)
    # The code of what blocks a name has a field of its own.
    connection.hset(RECORDS + NAME, "state", "waiting")


def is_clean(text: str) -> bool:
    """
    Return whether *text* has nothing but printable lines and colors.
    """
    return all(line.isprintable() for line in COLOR.sub("", text).replace("\r\n", "\n").split("\n"))


def compressed_bomb() -> bytes:
    """
    Return 300 MB that begin with a hostile line, compressed piece by piece.

    A child counts the memory of this process as its own for a moment, so this process stays small.
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
    def test_it_is_printable_whoever_wrote_it(
        self, worker: WorkerProcess, connection: Redis, command: tuple[str, ...]
    ) -> None:
        """
        Nothing moves the cursor, hides text or adds a line, and nothing ends in a traceback.
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
        Foreign text reaches every field but three, for people and for machines, and is printable there.

        The verdict is one of four, and `docs` is empty unless the code is one of the catalogue. The
        subject is a word of certworker or a setting, and the settings refuse control characters.
        """
        plant(connection)
        plant_for_the_doctor(worker, connection)
        names = NAME, PLAIN[:60]

        code, text = shown(worker, "doctor", "--json", *names)
        findings = [json.loads(line) for line in text.splitlines()]
        _, for_people = shown(worker, "doctor", *names)

        assert 2 == code
        assert FIELDS == {field for finding in findings for field in finding}
        assert FIELDS - {"verdict", "subject", "docs"} == {
            field for finding in findings for field, value in finding.items() if MARK in value
        }
        assert all(value.isprintable() for finding in findings for value in finding.values())
        assert is_clean(for_people), for_people
        assert MARK in for_people

    @pytest.mark.parametrize("status", ["finished", "failed", "x\x1b[2J", "\xff"])
    @pytest.mark.parametrize("pack", [zlib.compress, bytes])
    def test_the_result_of_a_request_is_printable(
        self, worker: WorkerProcess, connection: Any, status: str, pack: Any
    ) -> None:
        """
        A planted result with a compressed gigabyte, an odd hash and control characters is one short line.
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
        # The request is on the queue, so the command follows this job and makes no other.
        connection.hset(f"rq:job:{job_id}", "status", "queued")
        process = follow_later(worker)
        connection.hset(f"rq:job:{job_id}", "status", status)

        text, _ = process.communicate(timeout=PATIENCE_SECONDS)

        assert is_clean(text), text
        assert "Traceback" not in text
        assert len(text) < 20_000
        assert children_kilobytes() - before < 200_000


class TestSay:
    def test_a_line_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        Hostile texts are escaped and shortened.
        """
        say(HOSTILE + "x" * 1_000_000)
        out = capsys.readouterr().out

        assert out.startswith("m\\x1b[2J")
        assert (1, LONGEST_LINE + 1) == (out.count("\n"), len(out))

    def test_json_is_ascii(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        Another program reads the very same text from it.
        """
        say_json({"message": HOSTILE})
        out = capsys.readouterr().out

        assert out.isascii()
        assert out.strip().isprintable()
        assert {"message": HOSTILE} == json.loads(out)

    def test_commands_print_in_no_other_way(self) -> None:
        """
        The demo prints what it made, and the doctor its report, which is JSON.
        """
        others = {path.stem: path.read_text().count("click.echo(") for path in CLI.glob("*.py")}

        assert {"output", "demo", "doctor"} == {name for name, count in others.items() if count}
        assert 1 == others["doctor"]


def children_kilobytes() -> int:
    """
    Return the most memory that any ended child of this process had.
    """
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def follow_later(worker: WorkerProcess) -> subprocess.Popen[str]:
    """
    Begin to follow a request, as a person does.
    """
    command = [sys.executable, "-m", "certworker", "request", "--wait", "--timeout", "2", NAME]
    return subprocess.Popen(
        command, env=worker.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


class Terminal(io.StringIO):
    """
    A standard error that is a terminal.
    """

    def isatty(self) -> bool:
        """
        Return True.
        """
        return True


class TestProgressLine:
    def test_a_terminal_gets_one_line_that_ends_with_the_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The line shows what is done and what failed, is rewritten in place, and is removed at the end.
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
        Control characters belong on terminals, and rich is not even imported.
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
    def test_the_rate_gives_the_time_left(self, rate: float | None, ending: str) -> None:
        """
        Without a rate there is no forecast.
        """
        assert numbers(112, 0, 200, rate).startswith("112 of 200 done")
        assert numbers(112, 0, 200, rate).endswith(ending)
