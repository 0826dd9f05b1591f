"""
Requests to the HTTP API of a DNS provider; the providers have the tests of their failures.
"""

from __future__ import annotations

from typing import Any

import pytest

from certworker.dns01.http_api import MAX_ANSWER, Answer, HttpApi
from tests.dns01.services import always, service


class TestPost:
    def test_the_path_is_below_that_of_the_url(self) -> None:
        """
        An API may have a path of its own, with or without a final slash.
        """
        with service(always(200, b'{"done": true}', X_Kind="test")) as server:
            for url in (server.url, f"{server.url}/", f"{server.url}/api", f"{server.url}/api/"):
                answer = HttpApi(url, None, 20).post("update", {"a": "ä\n"}, {"X-Key": "k"})

        assert [call.path for call in server.calls] == ["/update", "/update", "/api/update", "/api/update"]
        assert server.calls[0].content == {"a": "ä\n"}
        assert server.calls[0].headers["x-key"] == "k"
        assert (answer.status, answer.json(), answer.headers["X-Kind"]) == (200, {"done": True}, "test")

    def test_the_answer_is_bounded(self) -> None:
        """
        What a server sends beyond it is not read.
        """
        with service(always(200, b"x" * 1_000_000)) as server:
            assert len(HttpApi(server.url, None, 20).post("update", {}, {}).content) == MAX_ANSWER

    def test_a_header_with_a_line_break_is_not_sent(self) -> None:
        """
        A value from a file cannot add headers.
        """
        with service(always(200)) as server, pytest.raises(OSError, match="no HTTP answer"):
            HttpApi(server.url, None, 20).post("update", {}, {"X-Key": "k\r\nX-Other: 1"})

        assert server.calls == []

    def test_the_place_has_no_path(self) -> None:
        """
        A secret may be in the path.
        """
        assert HttpApi("https://user:secret@api.example.com/secret", None, 20).place == "api.example.com:443"


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"{}", {}), (b"", None), (b"<html>", None), (b"\xff", None), (b"[" * 60_000, None)],
)
def test_json(content: bytes, expected: Any) -> None:
    """
    An answer that is no JSON is none, whatever it is.
    """
    assert Answer(200, {}, content).json() == expected
