"""
The memory and the processor time of a process and its descendants.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

KIB = 1024


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
