"""
Syncs several files and directories to the disk at the same time.

A file system commits many changes together, so several files take little longer than one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait

#: The number of threads. All writers share them.
THREADS = 8


def sync(opened: Iterable[int]) -> None:
    """
    Sync the descriptors that *opened* yields, at least one, at the same time, and then close them.

    Raises:
        OSError: A descriptor could not be opened or synced.
    """
    descriptors: list[int] = []
    try:
        descriptors.extend(opened)
        pending = [_threads.submit(os.fsync, each) for each in descriptors[1:]]
        try:
            os.fsync(descriptors[0])
        finally:
            wait(pending)
        for each in pending:
            each.result()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _replace_threads() -> None:
    # A forked process has none of the threads.
    global _threads
    _threads = ThreadPoolExecutor(THREADS, thread_name_prefix="fsync")


_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="fsync")
os.register_at_fork(after_in_child=_replace_threads)
