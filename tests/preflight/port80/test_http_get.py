"""
Test a single HTTP request to a single address.
"""

from __future__ import annotations

import socket
import threading
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from certworker.deadline import Deadline
from certworker.preflight.port80.http_get import MAX_BYTES, FetchError, FetchFailed, Reply, http_get
from tests.servers.ports import free_port
from tests.servers.web import (
    Respond,
    WebServer,
    always,
    cut,
    key_authorizations,
    response,
    sends,
    silent,
    trickling,
)

HOME = IPv4Address("127.0.0.1")


def get(url: str, port: int, address: IPv4Address | IPv6Address = HOME, seconds: float = 5) -> Reply:
    """
    Return the response for *url*.
    """
    return http_get(url, address, port, Deadline(seconds))


def error_of(
    url: str, port: int, address: IPv4Address | IPv6Address = HOME, seconds: float = 5
) -> FetchError:
    """
    Return the error of a request for *url*.
    """
    with pytest.raises(FetchFailed) as caught:
        get(url, port, address, seconds)
    return caught.value.error


class TestHttpGet:
    def test_the_request_goes_to_the_address(self) -> None:
        """
        The request goes to the given address, with the name in the Host header.
        """
        with WebServer(always(200, "body", Server="Some/1")) as server:
            reply = get("http://shop.example.org/path?a=b", server.port)

        assert (
            Reply(200, {"server": "Some/1", "connection": "close", "content-length": "4"}, b"body") == reply
        )
        assert ["shop.example.org/path?a=b"] == server.requests

    def test_any_certificate_is_accepted(self, pair: tuple[Path, Path]) -> None:
        """
        Any certificate is accepted, because the order may replace it.
        """
        with WebServer(key_authorizations(), pair=pair) as server:
            reply = get("https://shop.example.org/.well-known/acme-challenge/t", server.port)

        assert b"t.thumbprint" == reply.body

    def test_the_request_goes_to_an_ipv6_address(self) -> None:
        """
        The request can go to an IPv6 address.
        """
        with WebServer(always(200), host="::1") as server:
            assert 200 == get("http://shop.example.org/", server.port, IPv6Address("::1")).status

    def test_a_url_cannot_contain_a_second_request(self) -> None:
        """
        A URL from a redirect is untrusted, and cannot contain a second request.
        """
        with WebServer(always(200)) as server:
            get("http://shop.example.org/a b\x00ü?c d", server.port)

        assert ["shop.example.org/a%20b%00%C3%BC?c%20d"] == server.requests

    def test_a_chunked_body_is_decoded(self) -> None:
        """
        A chunked body is decoded.
        """
        with WebServer(
            sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        ) as server:
            assert b"abc" == get("http://shop.example.org/", server.port).body

    def test_only_the_start_of_the_body_is_read(self) -> None:
        """
        Only MAX_BYTES of the body are read, so an endless body takes no memory.
        """
        with WebServer(always(200, b"x" * 5_000_000)) as server:
            assert MAX_BYTES == len(get("http://shop.example.org/", server.port).body)

    def test_the_start_of_a_stalled_response_is_returned(self) -> None:
        """
        A long response that stalls is returned, because a CA also stops reading it.
        """
        returned = threading.Event()

        def stalling(_path: str, visitor: socket.socket) -> bytes:
            visitor.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 200)
            returned.wait()
            return b""

        with WebServer(stalling) as server:
            body = get("http://shop.example.org/", server.port, seconds=0.5).body
            returned.set()

        assert 200 == len(body)


class TestErrors:
    def test_a_closed_port_is_refused(self) -> None:
        """
        A closed port is reported as refused.
        """
        assert FetchError.REFUSED is error_of("http://shop.example.org/", free_port())

    def test_a_full_backlog_times_out(self) -> None:
        """
        A connection without a response times out, as behind a firewall.
        """
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            port = listener.getsockname()[1]
            waiting = [socket.socket() for _ in range(4)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", port))

            assert FetchError.TIMEOUT is error_of("http://shop.example.org/", port, seconds=0.3)
            for each in waiting:
                each.close()

    @pytest.mark.parametrize(
        ("respond", "expected"),
        [
            (silent, FetchError.SILENT),
            (trickling, FetchError.SILENT),
            (cut, FetchError.RESET),
            (sends(b""), FetchError.RESET),
            (sends(b"\x15\x03\x01\x00\x02\x02\x46"), FetchError.NOT_HTTP),
            (sends(b"SSH-2.0-OpenSSH_9.2\r\n"), FetchError.NOT_HTTP),
            (sends(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n"), FetchError.NOT_HTTP),
        ],
    )
    def test_each_wrong_behavior_has_its_error(self, respond: Respond, expected: FetchError) -> None:
        """
        Each wrong behavior of a server has its own error.
        """
        with WebServer(respond) as server:
            assert expected is error_of("http://shop.example.org/", server.port, seconds=0.5)

    def test_plain_http_on_the_port_of_https_is_no_tls(self) -> None:
        """
        Plain HTTP on the port of HTTPS is reported as NOT_TLS.
        """
        with WebServer(sends(response(400))) as server:
            assert FetchError.NOT_TLS is error_of("https://shop.example.org/", server.port)

    def test_the_deadline_includes_the_handshake(self) -> None:
        """
        The deadline includes the TLS handshake.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]

            assert FetchError.SILENT is error_of("https://shop.example.org/", port, seconds=0.3)

    def test_an_address_without_a_route_is_unreachable(self) -> None:
        """
        An address that this machine cannot reach is reported as unreachable.
        """
        assert FetchError.UNREACHABLE is error_of("http://shop.example.org/", 80, IPv6Address("fe80::1"))
