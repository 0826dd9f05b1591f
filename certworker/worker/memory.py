"""
Limits the memory of the process: unused memory returns to the system.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

#: The parameters of mallopt (malloc.h).
M_TRIM_THRESHOLD = -1
M_ARENA_MAX = -8

#: glibc retains at most this many bytes of freed memory at the end of its heap. Its default grows to
#: megabytes.
KEPT_BYTES = 64 * 1024


def limit_unused_memory() -> None:
    """
    Make all threads share one heap, and make glibc return freed memory to the system.

    By default, glibc gives each of the first threads its own heap, and a heap retains its free parts. Python
    runs one thread at a time, so threads seldom wait for the shared heap. With another C library, do nothing.
    """
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(M_ARENA_MAX, 1)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def trim_memory() -> None:
    """
    Return the free parts of the heap to the system. With a C library other than glibc, do nothing.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
