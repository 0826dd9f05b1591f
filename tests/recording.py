"""
The recording of a terminal session, and the parts of its lines that are the same in each run.

The recording of `certworker demo` is in docs/images. Its picture and the session in the README come from it.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

from certworker.cli.demo import ZONE
from tests.pictures import IMAGES

RECORDING = IMAGES / "demo.ansi"

#: Colors and other attributes of a terminal.
ATTRIBUTES = re.compile(r"\x1b\[[0-9;]*m")

#: The parts that differ from run to run: files of the demo, serial numbers, ids, ports and times.
VOLATILE = re.compile(r"/\S*certworker-demo-\S+|\b[0-9A-Fa-f]{6,}\b|\d+")

LONGEST = 120


def record() -> str:
    """
    Return the output of `certworker demo` on a terminal.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "certworker", "demo"],
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "NO_COLOR": ""},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    printed = b""
    while chunk := _read(ours):
        printed += chunk
    os.close(ours)
    if process.wait():
        raise RuntimeError(printed.decode(errors="replace"))
    return printed.decode().replace("\r\n", "\n")


def steady(text: str) -> set[str]:
    """
    Return the lines of *text* without the parts that differ from run to run.
    """
    lines = ATTRIBUTES.sub("", text).splitlines()
    return {" ".join(VOLATILE.sub("#", line).split()) for line in lines if line.strip()}


def session() -> str:
    """
    Return the lines of the recording that the README shows: one issuance, from its first line to its last.

    The session has no long lines. Only the last line, with the outcome, is cut.
    """
    lines = ATTRIBUTES.sub("", RECORDING.read_text()).splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("3. "))
    end = next(number for number, line in enumerate(lines) if line.startswith("5. "))
    *steps, outcome = [line for line in lines[begin + 1 : end] if f" {ZONE}: " in line]
    shown = [lines[begin], *(line for line in steps if len(line) <= LONGEST), _cut(outcome)]
    return "\n".join(["```console", "$ make demo", *shown, "```"])


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rpartition(' ')[0]} …"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux reports the end of a terminal as an error.
        return b""
