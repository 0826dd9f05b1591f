"""
Raw connections to the server.
"""

from __future__ import annotations

import http.client
import socket

import pytest

from tests.servers.faulty_authority import FaultyAuthority


def says(authority: FaultyAuthority, request: bytes) -> bytes:
    """
    What the CA answers to *request*, until it ends the connection.
    """
    with socket.create_connection(("127.0.0.1", authority.port), timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


class TestConnections:
    def test_one_serves_many_requests(self, authority: FaultyAuthority) -> None:
        """
        A client that is fast opens one connection for all of its orders.
        """
        connection = http.client.HTTPConnection("127.0.0.1", authority.port, timeout=5)
        connection.connect()
        kept = connection.sock
        for _ in range(3):
            connection.request("GET", "/directory")
            assert b"newOrder" in connection.getresponse().read()
        assert kept is connection.sock

    def test_head_has_no_body(self, authority: FaultyAuthority) -> None:
        """
        A body would corrupt the next answer on the connection.
        """
        head, _, body = says(authority, b"HEAD /directory HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")
        assert (b"HTTP/1.1 200 OK", b"") == (head.partition(b"\r\n")[0], body)

    @pytest.mark.parametrize("length", [b"", b"Content-Length: -1\r\n", b"Content-Length: 9999999\r\n"])
    def test_a_body_needs_a_valid_length(self, authority: FaultyAuthority, length: bytes) -> None:
        """
        No client makes the CA read without end.
        """
        assert says(authority, b"POST /newOrder HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n").startswith(
            b"HTTP/1.1 411"
        )

    def test_an_old_client_is_answered(self, authority: FaultyAuthority) -> None:
        """
        Without a Host header the URLs have the CA's own address.
        """
        answer = says(authority, b"GET /directory HTTP/1.0\r\n\r\n")
        assert f"http://127.0.0.1:{authority.port}/newOrder".encode() in answer

    def test_one_that_breaks_is_not_logged(
        self, authority: FaultyAuthority, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """
        No trace of it on the terminal of the one who runs the demo.
        """
        says(authority, b"POST /newOrder HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        with socket.create_connection(("127.0.0.1", authority.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(b"GET /directory HTTP/1.1\r\n")
        assert says(authority, b"GET /directory HTTP/1.0\r\n\r\n")
        assert ("", "") == capfd.readouterr()
