"""
Ports for servers.

Another program may take a free port before the server of a test listens. Each test process therefore takes
a block of ports until it ends. No other test process gets a port of that block.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import cycle
from pathlib import Path
from random import SystemRandom

#: A Redis cluster also listens at its port plus this number. No port of a block is the second port of
#: another.
CLUSTER_BUS = 10_000

#: The ports of all blocks. They and their ports of the cluster bus are below the ports of outgoing
#: connections (ip(7), ip_local_port_range).
PORTS = range(11_000, 11_000 + CLUSTER_BUS)

BLOCK_SIZE = 250


class NoFreePort(RuntimeError):
    """
    Each block belongs to a test process, or other programs use all ports of this block.
    """


class Block:
    """
    A block of ports that belongs to this process until it ends or is killed.

    Args:
        file: The lock file of all test processes of this machine and user, with one byte per block.

    Raises:
        NoFreePort: All blocks belong to other processes.
    """

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        starts = list(range(PORTS.start, PORTS.stop, BLOCK_SIZE))
        # The servers of the last owner of a block may still be ending, so the order is random.
        SystemRandom().shuffle(starts)
        for start in starts:
            with suppress(BlockingIOError, PermissionError):
                # The kernel releases this lock when its process ends. A child process does not inherit it.
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
                self.ports = range(start, start + BLOCK_SIZE)
                self._next: Iterator[int] = cycle(self.ports)
                return
        raise NoFreePort(f"{len(starts)} test processes hold all ports in {PORTS}")

    def free_port(self) -> int:
        """
        Return a port without a listener and without a recent connection, on any address, for TCP and UDP.

        Calls return the ports in turn. The same port follows after all others of the block.

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
    # A forked process needs its own block, because the lock belongs to its parent.
    return _block_of(os.getpid()).free_port()


@contextmanager
def reserved(port: int) -> Iterator[int]:
    """
    Reserve *port*, a default that tests cannot choose, for one test at a time.
    """
    with (Path(tempfile.gettempdir()) / f"certworker-test-port-{port}-{os.getuid()}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield port


@cache
def _block_of(process: int) -> Block:
    return Block(Path(tempfile.gettempdir()) / f"certworker-test-ports-{os.getuid()}")


def _is_free(port: int) -> bool:
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, suppress(OSError):
        for each in (tcp, udp):
            each.bind(("", port))
        return True
    return False
