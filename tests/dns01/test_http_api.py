"""
Tests of the requests to the HTTP API of a DNS provider. The tests of the providers cover its failures.
"""

from __future__ import annotations

from typing import Any

import pytest

from certworker.dns01.http_api import MAX_RESPONSE, ApiResponse, HttpApi
from tests.dns01.services import always, service


class TestPost:
    def test_the_path_follows_that_of_the_url(self) -> None:
        """
        The path of a request follows the path of the URL, with or without a final slash.
        """
        with service(always(200, b'{"done": true}', X_Kind="test")) as server:
            for url in (server.url, f"{server.url}/", f"{server.url}/api", f"{server.url}/api/"):
                answer = HttpApi(url, None, 20).post("update", {"a": "ä\n"}, {"X-Key": "k"})

        assert [call.path for call in server.calls] == ["/update", "/update", "/api/update", "/api/update"]
        assert server.calls[0].content == {"a": "ä\n"}
        assert server.calls[0].headers["x-key"] == "k"
        assert (answer.status, answer.json(), answer.headers["X-Kind"]) == (200, {"done": True}, "test")

    def test_the_length_of_an_answer_has_a_limit(self) -> None:
        """
        The client reads a limited number of bytes of an answer.
        """
        with service(always(200, b"x" * 1_000_000)) as server:
            assert len(HttpApi(server.url, None, 20).post("update", {}, {}).content) == MAX_RESPONSE

    def test_a_header_with_a_line_break_is_not_sent(self) -> None:
        """
        A header with a line break is not sent, so a value cannot add headers.
        """
        with service(always(200)) as server, pytest.raises(OSError, match="no HTTP response"):
            HttpApi(server.url, None, 20).post("update", {}, {"X-Key": "k\r\nX-Other: 1"})

        assert server.calls == []

    def test_the_shown_address_has_no_path(self) -> None:
        """
        The host and port of an API are shown without the path and the credentials, which may be secret.
        """
        assert HttpApi("https://user:secret@api.example.com/secret", None, 20).place == "api.example.com:443"


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"{}", {}), (b"", None), (b"<html>", None), (b"\xff", None), (b"[" * 60_000, None)],
)
def test_an_answer_that_is_not_json_is_none(content: bytes, expected: Any) -> None:
    """
    An answer that is not JSON is read as None.
    """
    assert ApiResponse(200, {}, content).json() == expected
