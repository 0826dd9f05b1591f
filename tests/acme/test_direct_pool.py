"""
Tests of connections to a CA without a proxy.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from urllib3.exceptions import ProtocolError

from certworker.acme.direct_pool import MOST_ORIGINS, DirectPool, Origin
from certworker.acme.http_message import Message
from certworker.acme.reach import AllowedHosts
from certworker.deadline import Deadline
from tests.servers.oddities import Oddity, OddServer, odd_server

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def server() -> Iterator[OddServer]:
    """
    Run a server whose responses a test sets.
    """
    with odd_server() as started:
        yield started


@pytest.fixture
def pool() -> DirectPool:
    """
    Return a pool that keeps two connections to each host.
    """
    context = ssl.create_default_context()
    return DirectPool(context, {"User-Agent": "test"}, 2, AllowedHosts("127.0.0.1"))


def exchange(pool: DirectPool, url: str) -> Message:
    """
    Send a GET for *url*.
    """
    with Deadline(30).begun():
        return pool.exchange("GET", url, {}, None, 1000)


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """
    Yield the URL of a server that calls *answer* with each connection.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("https://ca.example/dir", "ca.example", 443, "ca.example"),
        ("http://user:password@ca.example:80/", "ca.example", 80, "ca.example"),
        ("https://ca.example:14000/dir", "ca.example", 14000, "ca.example:14000"),
        ("https://[::1]:14000/dir", "::1", 14000, "[::1]:14000"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "xn--bcher-kva.example"),
    ],
)
def test_a_url_has_an_origin(url: str, host: str, port: int, authority: str) -> None:
    """
    The Host header has the port only if it is not the default port of the scheme.
    """
    origin = Origin.of(url)

    assert (host, port, authority) == (origin.host, origin.port, origin.authority)


def test_a_connection_that_the_server_has_closed_is_replaced(pool: DirectPool) -> None:
    """
    A server closes idle connections. The next request opens a new connection.
    """
    connections: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        connections.append(connection)
        connection.recv(1000)
        connection.sendall(EMPTY)

    with serving(answer) as url:
        assert [200, 200] == [exchange(pool, url).status for _ in range(2)]

    assert 2 == len(connections)


def test_a_connection_after_an_incomplete_response_is_not_used_again(
    pool: DirectPool, server: OddServer
) -> None:
    """
    The rest of a response that is too long is not the beginning of the next response.
    """
    server.answers["/long"] = Oddity(b"x" * 5_000)
    server.answers["/"] = Oddity(b"{}")

    assert 1_000 < len(exchange(pool, f"{server.url}/long").body)
    assert b"{}" == exchange(pool, f"{server.url}/").body
    assert 2 == server.connections


def test_a_server_that_does_not_speak_http_is_an_error(pool: DirectPool) -> None:
    """
    A response that is not HTTP is an error, and its connection is closed.
    """
    with serving(lambda connection: connection.sendall(b"220 mail.example ESMTP\r\n")) as url:
        for _ in range(2):
            with pytest.raises(ProtocolError, match="Connection aborted"):
                exchange(pool, url)

    assert {} == pool._idle


def test_the_number_of_open_connections_is_limited(pool: DirectPool) -> None:
    """
    The connections to the host that was used first are closed if a CA refers to many hosts.
    """
    for _ in range(MOST_ORIGINS + 2):
        with odd_server() as server:
            exchange(pool, server.url)

    assert MOST_ORIGINS == len(pool._idle)
