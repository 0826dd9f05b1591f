"""
Test raw connections to the server.
"""

from __future__ import annotations

import http.client
import socket

import pytest

from tests.servers.faulty_authority import FaultyAuthority


def response_to(authority: FaultyAuthority, request: bytes) -> bytes:
    """
    Return the response of the CA to *request*, until it ends the connection.
    """
    with socket.create_connection(("127.0.0.1", authority.port), timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


class TestConnections:
    def test_a_connection_serves_several_requests(self, authority: FaultyAuthority) -> None:
        """
        The CA serves several requests over one connection.
        """
        connection = http.client.HTTPConnection("127.0.0.1", authority.port, timeout=5)
        connection.connect()
        socket_before = connection.sock
        for _ in range(3):
            connection.request("GET", "/directory")
            assert b"newOrder" in connection.getresponse().read()
        assert socket_before is connection.sock

    def test_head_has_no_body(self, authority: FaultyAuthority) -> None:
        """
        The response to HEAD has no body, which would corrupt the next response.
        """
        head, _, body = response_to(authority, b"HEAD /directory HTTP/1.1\r\nHost: x\r\n\r\n").partition(
            b"\r\n\r\n"
        )
        assert (b"HTTP/1.1 200 OK", b"") == (head.partition(b"\r\n")[0], body)

    @pytest.mark.parametrize("length", [b"", b"Content-Length: -1\r\n", b"Content-Length: 9999999\r\n"])
    def test_a_body_needs_a_valid_length(self, authority: FaultyAuthority, length: bytes) -> None:
        """
        The CA refuses a body without a valid length, so it never reads without end.
        """
        assert response_to(
            authority, b"POST /newOrder HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n"
        ).startswith(b"HTTP/1.1 411")

    def test_a_client_without_a_host_header_is_served(self, authority: FaultyAuthority) -> None:
        """
        The URLs have the CA's own address if the request has no Host header.
        """
        answer = response_to(authority, b"GET /directory HTTP/1.0\r\n\r\n")
        assert f"http://127.0.0.1:{authority.port}/newOrder".encode() in answer

    def test_a_broken_connection_is_not_logged(
        self, authority: FaultyAuthority, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """
        A broken connection prints nothing on the terminal of the demo.
        """
        response_to(authority, b"POST /newOrder HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        with socket.create_connection(("127.0.0.1", authority.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(b"GET /directory HTTP/1.1\r\n")
        assert response_to(authority, b"GET /directory HTTP/1.0\r\n\r\n")
        assert ("", "") == capfd.readouterr()
