"""
Tests of HTTP/1.1 messages as bytes.
"""

from __future__ import annotations

import gzip
import zlib
from http.client import HTTPException
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.acme.http_message import MOST_HEADERS, MOST_INTERIM_RESPONSES, Message, read, request

#: The maximum size of a body in these tests.
MOST = 100


def response(content: bytes, method: str = "GET") -> Message:
    """
    Return the response that consists of *content*.
    """
    return read(BytesIO(content), method, MOST)


class TestRequest:
    def test_a_request_is_one_piece(self) -> None:
        """
        A request has its target, its headers and its body, in this order.
        """
        content = request("POST", "https://ca.example/order/1?a=b", {"Host": "ca.example"}, b"{}")

        assert content == (
            b"POST /order/1?a=b HTTP/1.1\r\nAccept-Encoding: identity\r\nHost: ca.example\r\n"
            b"Content-Length: 2\r\n\r\n{}"
        )

    @pytest.mark.parametrize(
        ("url", "target"),
        [
            ("http://ca.example", "/"),
            ("http://ca.example?x", "/?x"),
            ("http://ca.example/a b", "/a%20b"),
            ("http://ca.example/ä", "/%C3%A4"),
            ("http://ca.example/%2e", "/%2e"),
            ('http://ca.example/"<>', "/%22%3C%3E"),
        ],
    )
    def test_a_target_has_only_permitted_characters(self, url: str, target: str) -> None:
        """
        Other characters are escaped, so that a URL of a CA cannot add a header.
        """
        assert request("GET", url, {}, None).startswith(f"GET {target} HTTP/1.1\r\n".encode())


class TestRead:
    @pytest.mark.parametrize(
        ("content", "method", "body", "is_reusable"),
        [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "GET", b"{}", True),
            (b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\n{}", "GET", b"{}", True),
            (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", "GET", b"{}", True),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}", "GET", b"{}", True),
            (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\n{}", "GET", b"{}", False),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", "GET", b"{}", False),
            (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", "GET", b"{}", True),
            (b"HTTP/1.1 200 OK\r\n\r\n{}", "GET", b"{}", False),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", "GET", b"{}", False),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HEAD", b"", True),
            (b"HTTP/1.1 204 No Content\r\n\r\n", "POST", b"", True),
            (
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                "POST",
                b"{}",
                True,
            ),
            (
                (
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"1;x=y\r\n{\r\nA\r\n123456789}\r\n0\r\nX: y\r\n\r\n"
                ),
                "GET",
                b"{123456789}",
                True,
            ),
        ],
    )
    def test_a_body_ends_where_its_headers_say(
        self, content: bytes, method: str, body: bytes, is_reusable: bool
    ) -> None:
        """
        The length, the chunks or the end of the connection limit the body (RFC 9112, section 6.3).
        """
        message = response(content, method)

        assert (body, is_reusable) == (message.body, message.is_reusable)

    def test_headers_are_case_insensitive_and_repeatable(self) -> None:
        """
        A comma joins repeated headers (RFC 9110, section 5.2).
        """
        found = response(
            b"HTTP/1.1 200 OK\r\nLINK: <a>\r\nlink: <b>\r\nX:\r\nContent-Length: 0\r\n\r\n"
        ).headers

        assert ("<a>, <b>", "", None) == (found["Link"], found.get("x"), found.get("Y"))
        assert ["link", "x", "content-length"] == list(found)
        assert 3 == len(found)

    @pytest.mark.parametrize(
        "content",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\nff\r\n",
        ],
    )
    def test_a_body_that_is_too_long_is_not_read(self, content: bytes) -> None:
        """
        Of a longer body, only a part is read, and the connection is not used again.
        """
        stream = BytesIO(content + b"x" * 10_000)
        message = read(stream, "GET", MOST)

        assert MOST < len(message.body) <= 2 * MOST + 1
        assert not message.is_reusable
        assert stream.tell() < 1_000

    @pytest.mark.parametrize(
        ("encoding", "compress"),
        [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress)],
    )
    def test_a_compressed_body_is_decoded(self, encoding: str, compress: object) -> None:
        """
        Some servers compress without a request. A small body that becomes large is cut.
        """
        assert callable(compress)
        for plain in (b"{}", b"x" * 10_000):
            body = compress(plain)
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"

            assert plain[: MOST + 1] == response(head.encode() + body).body

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 999 Odd\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MOST_HEADERS + 1) + b"\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
            b"HTTP/1.1 103 Early Hints\r\n\r\n" * (MOST_INTERIM_RESPONSES + 1),
        ],
    )
    def test_an_invalid_response_is_an_error(self, content: bytes) -> None:
        """
        A response that is invalid, incomplete or endless is an error.
        """
        with pytest.raises(HTTPException):
            response(content)

    @given(st.binary(max_size=300), st.sampled_from(["GET", "HEAD", "POST"]))
    def test_any_bytes_are_a_message_or_an_error(self, content: bytes, method: str) -> None:
        """
        Any bytes after a valid status line are a message or an error.
        """
        try:
            message = response(b"HTTP/1.1 200 OK\r\n" + content, method)
        except HTTPException:
            return
        assert len(message.body) <= 2 * MOST + 1
