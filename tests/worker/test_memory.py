"""
Tests of the memory of the process.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Threads that all allocate memory at the same time, and the statistics of glibc.
PROGRAM = """
import ctypes, threading
from certworker.worker.memory import limit_unused_memory, trim_memory

{call}
barrier = threading.Barrier(4)

def allocate():
    kept = [bytes(10_000) for _ in range(100)]
    barrier.wait()
    del kept

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
trim_memory()
ctypes.CDLL(None).malloc_stats()
"""


class TestLimitUnusedMemory:
    @pytest.mark.parametrize(("call", "is_shared"), [("limit_unused_memory()", True), ("", False)])
    def test_all_threads_share_one_heap(self, call: str, is_shared: bool) -> None:
        """
        The statistics of glibc have one heap for all threads.
        """
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(call=call)], capture_output=True, text=True, check=True
        )

        assert is_shared == (1 == ended.stderr.count("Arena "))
