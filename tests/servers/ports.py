"""
Ports for servers.

A port that is free now may have another owner before its server listens. A test process therefore takes a
block of ports for as long as it lives, and no other test process gets a port of that block.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import cycle
from pathlib import Path
from random import SystemRandom

#: A Redis cluster listens at its port plus this as well: no port of a block is the second port of another.
CLUSTER_BUS = 10_000

#: All of them, and their ports of the cluster bus, are below those of connections on their way out
#: (ip(7), ip_local_port_range).
PORTS = range(11_000, 11_000 + CLUSTER_BUS)

BLOCK_SIZE = 250


class NoFreePort(RuntimeError):
    """
    Every block belongs to a test process, or another program has the ports of this block.
    """


class Block:
    """
    Ports that belong to this process until it ends, however it ends.

    Args:
        file: Which every test process of this machine and user locks in part: one byte per block.

    Raises:
        NoFreePort: All blocks belong to other processes.
    """

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        starts = list(range(PORTS.start, PORTS.stop, BLOCK_SIZE))
        # A block that another process had until now has servers that are just ending.
        SystemRandom().shuffle(starts)
        for start in starts:
            with suppress(BlockingIOError, PermissionError):
                # The kernel frees such a lock when its process ends; a child process does not inherit it.
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
                self.ports = range(start, start + BLOCK_SIZE)
                self._next: Iterator[int] = cycle(self.ports)
                return
        raise NoFreePort(f"{len(starts)} test processes hold all ports in {PORTS}")

    def free_port(self) -> int:
        """
        Return a port that has no listener and no recent connection, on any address, for TCP or UDP.

        Ports come one after the other: the same port comes again after all others of the block.

        Raises:
            NoFreePort: No port of the block is free.
        """
        for _ in self.ports:
            port = next(self._next)
            if _is_free(port) and _is_free(port + CLUSTER_BUS):
                return port
        raise NoFreePort(f"other programs listen at all ports in {self.ports}")


def free_port() -> int:
    """
    Return a port of the block of this process.
    """
    # A process that forks has a block of its own: the lock stays with its parent.
    return _block_of(os.getpid()).free_port()


@cache
def _block_of(process: int) -> Block:
    return Block(Path(tempfile.gettempdir()) / f"certworker-test-ports-{os.getuid()}")


def _is_free(port: int) -> bool:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, suppress(OSError):
        for each in (tcp, udp):
            each.bind(("", port))
        return True
    return False
