"""
A directory in memory for tests that write thousands of files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")


@contextmanager
def in_memory(otherwise: Path) -> Iterator[Path]:
    """
    Yield a new directory in memory. On a machine without /dev/shm, it is in *otherwise*.
    """
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else otherwise) as place:
        yield Path(place)
