"""
A directory in memory, for tests that write thousands of files and do not depend on the disk.
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
    A new directory in memory, or in *otherwise* on a machine without one.
    """
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else otherwise) as place:
        yield Path(place)
