"""
Tests of connections to a CA without a proxy.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from urllib3.exceptions import ProtocolError

from certworker.acme.direct_pool import IDEMPOTENT, MOST_ORIGINS, DirectPool, Message
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


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    """
    Yield the URL of a server that sends *content* to each client.
    """

    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(content)

    with serving(answer) as url:
        yield url


@pytest.mark.parametrize(
    ("path", "target"),
    [("", "/"), ("?x", "/?x"), ("a b", "/a%20b"), ("ä", "/%C3%A4"), ("%2e", "/%2e"), ('"<>', "/%22%3C%3E")],
)
def test_a_target_has_only_permitted_characters(pool: DirectPool, path: str, target: str) -> None:
    """
    Other characters are escaped, so that a URL of a CA cannot add a header.
    """
    requests: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        requests.append(connection.recv(1000))
        connection.sendall(EMPTY)

    with serving(answer) as url:
        exchange(pool, url + path)

    lines = requests[0].decode().split("\r\n")
    assert f"GET {target} HTTP/1.1" == lines[0]
    assert f"Host: {url.removeprefix('http://').rstrip('/')}" in lines


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress)],
)
def test_a_compressed_body_is_decoded(
    pool: DirectPool, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """
    Some servers compress without a request. A small body that becomes large is cut.
    """
    for plain in (b"{}", b"x" * 10_000):
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
        with answering(head.encode() + compress(plain)) as url:
            assert plain[:1001] == exchange(pool, url).body


def test_headers_are_case_insensitive_and_repeatable(pool: DirectPool) -> None:
    """
    A comma joins repeated headers (RFC 9110, section 5.2).
    """
    with answering(b"HTTP/1.1 200 OK\r\nLINK: <a>\r\nlink: <b>\r\nContent-Length: 0\r\n\r\n") as url:
        headers = exchange(pool, url).headers

    assert ("<a>, <b>", None) == (headers["Link"], headers.get("X"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
    ],
)
def test_an_invalid_response_is_an_error(pool: DirectPool, content: bytes) -> None:
    """
    After a response that is invalid, incomplete or endless, the connection is closed.
    """
    with answering(content) as url:
        for _ in range(2):
            with pytest.raises(ProtocolError, match="Connection aborted"):
                exchange(pool, url)

    assert {} == pool._idle


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


@pytest.mark.parametrize(("method", "expected"), [("GET", 2), ("HEAD", 2), ("POST", 1)])
def test_a_request_at_the_end_of_an_idle_connection_is_repeated_only_if_it_is_idempotent(
    pool: DirectPool, method: str, expected: int
) -> None:
    """
    The server closes an idle connection when the next request arrives. A repeated POST could order twice.
    """
    connections: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        connections.append(connection)
        connection.recv(1000)
        connection.sendall(EMPTY)
        connection.recv(1000)

    with serving(answer) as url, Deadline(30).begun():
        assert 200 == pool.exchange("GET", url, {}, None, 1000).status
        if method in IDEMPOTENT:
            assert 200 == pool.exchange(method, url, {}, None, 1000).status
        else:
            with pytest.raises(ProtocolError):
                pool.exchange(method, url, {}, b"{}", 1000)

    assert expected == len(connections)


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


def test_the_number_of_open_connections_is_limited(pool: DirectPool) -> None:
    """
    The connections to the host that was used first are closed if a CA refers to many hosts.
    """
    for _ in range(MOST_ORIGINS + 2):
        with odd_server() as server:
            exchange(pool, server.url)

    assert MOST_ORIGINS == len(pool._idle)
