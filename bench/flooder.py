"""
`python -m bench.flooder HOST PORT REQUESTS_A_SECOND CONNECTIONS`: send invalid requests until standard input
ends.

The rate does not depend on the responses. The program reopens closed connections, and does not wait for
responses. At the end it prints the number of requests per second.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from contextlib import suppress
from itertools import count

PATH = "/.well-known/acme-challenge/garbage-{}"
STEP_SECONDS = 0.002


def main(host: str, port: int, requests_a_second: int, connections: int) -> None:
    """
    Send the requests.
    """
    flood: list[socket.socket | None] = [None] * connections
    numbers, began = count(), time.monotonic()
    sent = 0
    with selectors.DefaultSelector() as stopped:
        stopped.register(sys.stdin, selectors.EVENT_READ)
        while not stopped.select(0):
            wanted = int((time.monotonic() - began) * requests_a_second)
            for number in range(sent, wanted):
                flood[number % connections] = _sent(flood[number % connections], host, port, next(numbers))
            sent = max(sent, wanted)
            time.sleep(STEP_SECONDS)
    print(sent / (time.monotonic() - began))


def _sent(connection: socket.socket | None, host: str, port: int, number: int) -> socket.socket | None:
    request = f"GET {PATH.format(number)} HTTP/1.1\r\nHost: garbage.test\r\n\r\n".encode()
    try:
        if connection is None:
            connection = socket.create_connection((host, port), timeout=1)
            connection.setblocking(False)
        with suppress(BlockingIOError):
            # Discard the responses.
            if not connection.recv(1 << 16):
                raise ConnectionResetError
        with suppress(BlockingIOError):
            connection.send(request)
    except OSError:
        if connection:
            connection.close()
        return None
    return connection


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
