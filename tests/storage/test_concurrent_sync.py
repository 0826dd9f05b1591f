"""
Tests of concurrent syncs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.storage.concurrent_sync import THREADS, sync
from tests.storage.trace import Effect, Trace


def opened(directory: Path, names: list[str]) -> Iterator[int]:
    """
    Open a file in *directory* for each of *names*.
    """
    for name in names:
        yield os.open(directory / name, os.O_WRONLY | os.O_CREAT)


def descriptors() -> set[str]:
    """
    Return the open descriptors of this process.
    """
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("count", [1, 5, 3 * THREADS])
def test_each_file_is_synced_and_closed(tmp_path: Path, count: int) -> None:
    """
    Any number of files is synced, and none stays open.
    """
    names = [str(number) for number in range(count)]
    before, trace = descriptors(), Trace(tmp_path)

    with trace.recording():
        sync(opened(tmp_path, names))

    assert sorted(names) == sorted(effect.path for effect in trace.effects if effect.verb == "fsync")
    assert before == descriptors()


def test_a_failure_of_one_file_is_raised(tmp_path: Path) -> None:
    """
    The failure of any file is raised, and no file stays open.
    """
    before, trace = descriptors(), Trace(tmp_path)

    def fail(effect: Effect) -> None:
        if effect.verb == "fsync" and effect.path == "3":
            raise OSError(errno.EIO, "a broken disk")

    trace.before = fail
    with trace.recording(), pytest.raises(OSError, match="a broken disk"):
        sync(opened(tmp_path, ["1", "2", "3", "4"]))

    assert before == descriptors()


def test_a_file_that_cannot_be_opened_is_raised(tmp_path: Path) -> None:
    """
    If a later file cannot be opened, the earlier ones are closed.
    """
    before = descriptors()

    with pytest.raises(FileNotFoundError):
        sync(opened(tmp_path, ["1", "missing/2"]))

    assert before == descriptors()


def test_a_forked_process_has_threads_of_its_own(tmp_path: Path) -> None:
    """
    A forked process has none of the threads of its parent, and starts new ones.
    """
    names = [str(number) for number in range(THREADS)]
    sync(opened(tmp_path, names))

    if (child := os.fork()) == 0:
        sync(opened(tmp_path, names))
        os._exit(0)

    assert (child, 0) == os.waitpid(child, 0)
