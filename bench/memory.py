"""
The memory of a process and its descendants.
"""

from __future__ import annotations

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


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _tree(int(child))


def _bytes(pid: int) -> int:
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) * KIB if found else 0
