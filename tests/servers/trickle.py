"""
Clients that send a request byte by byte, in a separate process.

`python -m tests.servers.trickle HOST PORT COUNT` reopens each connection that the server closes. The program
ends at the end of its standard input.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOP = Path(__file__).parents[2]
REQUEST = b"GET /.well-known/acme-challenge/" + b"a" * 100_000
SECONDS_BETWEEN_TWO_BYTES = 1.0


@contextmanager
def trickling(host: str, port: int, count: int) -> Iterator[None]:
    """
    Send one byte per second on *count* connections for the duration of the context.
    """
    command = [sys.executable, "-m", "tests.servers.trickle", host, str(port), str(count)]
    with subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as clients:
        assert clients.stdout
        assert clients.stdout.readline() == b"open\n"
        yield
        clients.communicate(timeout=30)


def main(host: str, port: int, count: int) -> None:
    """
    Send bytes until standard input ends.
    """
    connections: list[socket.socket | None] = [None] * count
    with selectors.DefaultSelector() as ended:
        ended.register(sys.stdin, selectors.EVENT_READ)
        sent = 0
        while True:
            connections = [_one_more_byte(each, (host, port), sent) for each in connections]
            if sent == 0:
                print("open", flush=True)  # noqa: T201 (for the process that started this one)
            sent += 1
            if ended.select(SECONDS_BETWEEN_TWO_BYTES):
                return


def _one_more_byte(
    connection: socket.socket | None, address: tuple[str, int], number: int
) -> socket.socket | None:
    try:
        if connection is None:
            connection = socket.create_connection(address, timeout=10)
        connection.send(REQUEST[number : number + 1])
    except OSError:
        if connection:
            connection.close()
        return None
    return connection


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
