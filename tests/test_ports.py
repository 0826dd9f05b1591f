"""
Test processes that run at the same time never listen at the same port.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.servers.ports import BLOCK_SIZE, CLUSTER_BUS, PORTS, Block, NoFreePort, free_port
from tests.servers.redis import RedisServer

#: Take a block, print a number of its ports, and run until standard input ends.
TAKE = """
import sys
from pathlib import Path
from tests.servers.ports import Block
block = Block(Path(sys.argv[1]))
print(*(block.free_port() for _ in range(int(sys.argv[2]))), flush=True)
sys.stdin.read()
"""

#: Lock all blocks, as a large number of processes does.
LOCK_ALL = """
import fcntl
import sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(file: Path, count: int = 1) -> Iterator[set[int]]:
    """
    Yield *count* ports of another process, which runs for the duration of the context.
    """
    command = [sys.executable, "-c", TAKE, str(file), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield {int(port) for port in process.stdout.readline().split()}


def outgoing() -> range:
    """
    Return the ports that the kernel uses for outgoing connections.
    """
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    return range(int(first), int(last) + 1)


def test_processes_share_no_port(tmp_path: Path) -> None:
    """
    No two processes get the same port, or the same second port of a Redis cluster.
    """
    with ExitStack() as stack:
        file, count = tmp_path / "ports", 2 * BLOCK_SIZE
        others = [stack.enter_context(another_process(file, count)) for _ in range(3)]
        block = Block(file)
        owned = [*others, {block.free_port() for _ in range(count)}]

    both = [ports | {port + CLUSTER_BUS for port in ports} for ports in owned]
    assert all(len(ports) > BLOCK_SIZE / 2 for ports in owned)
    assert len(set().union(*both)) == sum(map(len, both))


def test_a_process_without_a_free_block_gets_an_exception(tmp_path: Path) -> None:
    """
    A process gets `NoFreePort` if all blocks have owners. A block is free again after SIGKILL of its owner.
    """
    file = tmp_path / "ports"
    command = [sys.executable, "-c", LOCK_ALL, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "locked\n" == process.stdout.readline()
        with pytest.raises(NoFreePort, match="test processes hold all ports"):
            Block(file)
        process.kill()
    assert Block(file).free_port() in PORTS


def test_a_port_with_a_listener_is_omitted(tmp_path: Path) -> None:
    """
    A block omits a port with a TCP or UDP listener, or with a listener at its port of the cluster bus.
    """
    block = Block(tmp_path / "ports")
    with ExitStack() as stack:
        for address, kind, offset in (
            ("127.0.0.1", socket.SOCK_STREAM, 0),
            ("127.0.0.2", socket.SOCK_STREAM, 0),
            ("127.0.0.1", socket.SOCK_DGRAM, 0),
            ("127.0.0.1", socket.SOCK_STREAM, CLUSTER_BUS),
        ):
            listener = stack.enter_context(socket.socket(type=kind))
            taken = block.free_port()
            listener.bind((address, taken + offset))

            assert taken not in {block.free_port() for _ in range(2 * BLOCK_SIZE)}


def test_a_cluster_gets_its_second_port(tmp_path: Path) -> None:
    """
    A Redis cluster starts while other servers use the previous and the next port.
    """
    servers = [RedisServer(tmp_path / name) for name in ("before", "cluster", "after")]
    try:
        for server in servers:
            server.start("--cluster-enabled", "yes")
    finally:
        for server in servers:
            server.kill()


def test_no_port_is_a_port_of_outgoing_connections() -> None:
    """
    No port is in the range from which the kernel gives ports to outgoing connections.
    """
    assert free_port() in PORTS
    assert PORTS.stop - 1 + CLUSTER_BUS < outgoing().start


def test_a_redis_that_ends_gives_its_reason(tmp_path: Path) -> None:
    """
    A Redis that ends at its start raises an exception with the output of Redis.
    """
    server = RedisServer(tmp_path / "redis")
    with socket.socket() as other:
        other.bind(("127.0.0.1", server.port))
        with pytest.raises(RuntimeError, match="Address already in use"):
            server.start()
