"""
Files of the state directory: written whole or not at all.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """
    Put *content* at *path* with *mode*; a reader sees the old file or the new one, never a part.
    """
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).rename(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """
    Hold the lock file *path*; others, in this process or another one, wait.
    """
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
