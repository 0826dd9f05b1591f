"""
A place in memory, for tests that write thousands of files and are not about the disk below them.
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
    A new directory in memory, or in the directory *otherwise* where the machine has no such place.
    """
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else otherwise) as place:
        yield Path(place)
