"""
The memory and the processor time of a process and its descendants, and the start of a server.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

KIB = 1024
START_SECONDS = 30.0


def tree_bytes(pid: int) -> int:
    """
    Return the proportional set size of *pid* and its descendants (Linux, Documentation/filesystems/proc.rst).

    Shared memory counts once, in equal parts.
    """
    return sum(_bytes(each) for each in _tree(pid))


def tree_cpu_seconds(pid: int) -> float:
    """
    Return the processor time of *pid* and its descendants, including those that have ended.
    """
    return sum(_ticks(each) for each in _tree(pid)) / os.sysconf("SC_CLK_TCK")


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """
    Wait until *process* accepts connections at *port* of the loopback interface.

    Raises:
        RuntimeError: It has ended, or does not listen after 30 seconds. The message has the end of *log*.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                output = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"no server listens at port {port}:\n{output}") from error
            time.sleep(0.02)
        else:
            return


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _tree(int(child))


def _bytes(pid: int) -> int:
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) * KIB if found else 0


def _ticks(pid: int) -> int:
    # The name of the program, in parentheses, may have spaces. utime, stime, cutime and cstime are
    # the fields 14 to 17.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))
