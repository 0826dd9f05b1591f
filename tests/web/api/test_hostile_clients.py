"""
Requests that no honest client sends, to the real server of the API.
"""

from __future__ import annotations

import json
import socket
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask

from certworker.app import App
from certworker.http import throttle
from certworker.observability.events import EVENTS
from certworker.settings.web import TrustedHeader
from certworker.web.access import allowed
from certworker.web.api.events import MOST_STREAMS_OF_ONE
from certworker.worker.producer import queue_length
from tests.servers.worker import wait_until
from tests.web.api.conftest import OURS
from tests.web.api.serving import serving
from tests.web.application import bearer, create_token, open_application

API = "/api/v1"

#: More than the buffers of both sockets and of the server contain.
FLOOD = [json.dumps({"name": OURS, "tenant": "acme", "text": "x" * 60_000})] * 120

Send = Callable[..., HTTPResponse]


@pytest.fixture
def address(names: App, application: Flask) -> Iterator[tuple[str, int]]:
    """
    Start the server; yield its address.
    """
    with serving(application) as url:
        parts = urlsplit(url)
        yield str(parts.hostname), int(parts.port or 0)


@pytest.fixture
def headers(tmp_path: Path) -> dict[str, str]:
    """
    Return the headers of the tenant `acme`.
    """
    return bearer(create_token(tmp_path / "tokens.json", "operate", "acme"))


@pytest.fixture
def send(address: tuple[str, int], headers: dict[str, str]) -> Iterator[Send]:
    """
    Yield the function that sends a request of the tenant as it is, and returns the response.
    """
    connections = []

    def request(
        method: str, path: str, body: bytes | None = None, content_type: str = "", **more: str
    ) -> HTTPResponse:
        connection = HTTPConnection(*address, timeout=30)
        connections.append(connection)
        kind = {"Content-Type": content_type} if content_type else {}
        connection.request(method, path, body, {**headers, **kind, **more})
        return connection.getresponse()

    yield request
    for connection in connections:
        connection.close()


class TestUserOfAProxy:
    @pytest.mark.parametrize(
        ("headers", "body", "status"),
        [
            ("Remote-User: alice\r\n", "", 200),
            ("Remote_User: alice\r\n", "", 401),
            ("Remote-User: alice\r\nRemote-User: alice\r\n", "", 401),
            ("Remote-User: alice, bob\r\n", "", 401),
            ("X: a\r\n\tRemote-User: alice\r\n", "", 401),
            ("X: a\nRemote-User: alice\r\n", "", 400),
            ("Remote-User : alice\r\n", "", 400),
            ("Transfer-Encoding: chunked\r\n", "0\r\nRemote-User: alice\r\n\r\n", 401),
        ],
    )
    def test_no_other_spelling_of_the_header_names_a_user(
        self, tmp_path: Path, headers: str, body: str, status: int
    ) -> None:
        """
        A header that a proxy may forward, but does not remove, makes no one a user.
        """
        application = open_application(
            tmp_path / "tokens", open_on_loopback=False, header=TrustedHeader("Remote-User", "admin")
        )
        view = allowed("admin")(lambda: "shown")
        application.add_url_rule("/api/test", "test", view, methods=["GET"])
        with serving(application) as url:
            parts = urlsplit(url)
            with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=30) as client:
                lines = f"GET /api/test HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n{body}"
                client.sendall(lines.encode())
                answer = client.recv(1 << 16)

        assert str(status).encode() == answer.split(b" ", 2)[1]


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        [
            "/names/../limits",
            "/names/..%2flimits",
            "/names/%2e%2e/limits",
            "/names/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "/names/x/..%5c..%5climits",
            "//limits",
            "/names/",
            f"/names/{OURS}/",
            f"/names/{OURS};tenant=rival",
            f"/names/{OURS}%00",
            f"/names/{OURS}%0d%0aInjected:%20yes",
            f"/names/{OURS}%252f..",
            "/names/%ff%fe",
            "/names/%ed%a0%80",
            "/names/%72ival.localhost",
            "/names/rival%2Elocalhost.",
            "/names/RIVAL.LOCALHOST",
            "/names/rival%EF%BC%8Elocalhost",
        ],
    )
    def test_no_spelling_of_a_path_leads_elsewhere(self, send: Send, path: str) -> None:
        """
        Each other spelling of a path is 404: no redirect, no injected header, no name of others.
        """
        response = send("GET", API + path)
        document = json.loads(response.read())

        assert (404, "application/problem+json") == (response.status, response.getheader("Content-Type"))
        assert (None, None) == (response.getheader("Location"), response.getheader("Injected"))
        assert document.keys() <= {"type", "title", "status", "detail"}

    @pytest.mark.parametrize(
        ("method", "status"), [("HEAD", 200), ("OPTIONS", 200), ("TRACE", 405), ("PATCH", 405), ("X", 405)]
    )
    def test_other_methods_change_nothing(self, names: App, send: Send, method: str, status: int) -> None:
        """
        HEAD and OPTIONS have no body, and any other method is refused. None does anything.
        """
        for path in (f"/names/{OURS}", "/names"):
            response = send(method, API + path)
            assert status == response.status
            assert (status == 200) == (response.read() == b"")
        assert 0 == queue_length(names.connection)

    def test_head_opens_no_stream(self, send: Send) -> None:
        """
        HEAD has the headers of a stream, and occupies no place.
        """
        for _ in range(MOST_STREAMS_OF_ONE + 1):
            response = send("HEAD", f"{API}/events")
            assert (200, b"") == (response.status, response.read())


class TestBodies:
    @pytest.mark.parametrize(
        ("content_type", "body", "status"),
        [
            ("", b'{"names": ["a.localhost"]}', 415),
            ("text/plain", b'{"names": ["a.localhost"]}', 415),
            ("application/jsonp", b'{"names": ["a.localhost"]}', 415),
            ("application/x-www-form-urlencoded", b"names=a.localhost", 415),
            ("application/json", b"", 400),
            ("application/json", b"\xff\xfe\x00", 400),
            ("application/json", b'{"names": [' + b"9" * 10_000 + b"]}", 400),
            ("application/json", b'{"names": ' + b"[" * 100_000, 400),
            ("application/json", b'{"names": ' + b'{"a":' * 50_000, 400),
            ("application/json", b'{"names": [NaN]}', 422),
            ("application/json", b'{"names": ["a.localhost"], "tenant": "acme", "tenant": "rival"}', 403),
            ("application/json", b'{"names": ["\\ud800.localhost"]}', 422),
            ("application/json", '{"names": ["\u200brival.localhost"]}'.encode(), 422),
            ("application/json", '{"names": ["\uff52ival\u3002localhost"]}'.encode(), 404),
            ("application/json", b'{"names": ["a.localhost\\u0000"]}', 422),
            ("application/json", b'{"names": ["a.localhost\\r\\nInjected: yes"]}', 422),
            ("application/json", b'{"names": ["../../etc/passwd"]}', 422),
            ("application/json", b'{"names": ["a.localhost"], "tenant": {}}', 422),
            ("application/json", b'{"names": ["a.localhost"], "together": 1}', 422),
            ("application/json", b'{"names": ["a.localhost"' + b', "a.localhost"' * 100 + b"]}", 422),
            ("application/json", b'{"names": ["a.localhost"]}' + b" " * 300_000, 413),
        ],
    )
    def test_a_body_of_another_form_is_refused(
        self, names: App, send: Send, content_type: str, body: bytes, status: int
    ) -> None:
        """
        A body of another type, size or form is refused, and nothing is requested.
        """
        response = send("POST", f"{API}/names", body, content_type)

        assert status == response.status
        assert 0 == queue_length(names.connection)

    def test_a_name_reaches_no_header(self, send: Send) -> None:
        """
        The Location header contains the normalized name in the encoding of a path.
        """
        body = json.dumps({"names": ["B\u00fccher.localhost"]}).encode()
        response = send("POST", f"{API}/names", body, "application/json")

        assert (202, f"{API}/names/xn--bcher-kva.localhost") == (
            response.status,
            response.getheader("Location"),
        )


class TestQueries:
    @pytest.mark.parametrize(
        "content",
        [
            b"[" * 700,
            b"null",
            b"[]",
            b'["urgency", "NaN", "x"]',
            b'["urgency", ' + b"9" * 700 + b', "x"]',
            b'["urgency", [], "x"]',
            b'["expiry", 0, "x"]',
            b'{"a": 1, "b": 2, "c": 3}',
            b"\xff\x00",
        ],
    )
    def test_a_forged_cursor_is_refused(self, send: Send, content: bytes) -> None:
        """
        A cursor that is not from the server is 400.
        """
        assert 400 == send("GET", f"{API}/names?cursor={urlsafe_b64encode(content).decode()}").status

    @pytest.mark.parametrize(
        "query", ["limit=1&limit=2", "limit=%00", "text=a&TEXT=b", "%00=1", "=1", "tenant[]=a"]
    )
    def test_a_query_of_another_form_is_refused(self, send: Send, query: str) -> None:
        """
        A repeated, unknown or invalid parameter is 400.
        """
        assert 400 == send("GET", f"{API}/names?{query}").status

    def test_a_search_for_another_tenant_finds_nothing(self, send: Send) -> None:
        """
        No text of a search shows a tenant the names of others.
        """
        for query in ("text=rival", "text=%00", "text=%25", "text=.*", "tenant=rival", "issuer=*"):
            found = json.loads(send("GET", f"{API}/names?{query}").read())
            assert ([], 0, "") == (found["names"], found["total"], found["next_cursor"])


class TestStreams:
    def test_a_client_that_leaves_frees_its_place(
        self, address: tuple[str, int], headers: dict[str, str], send: Send
    ) -> None:
        """
        A stream whose client has closed the connection ends, although no event is sent.
        """
        opened = [open_stream(address, headers) for _ in range(MOST_STREAMS_OF_ONE)]
        assert 503 == send("GET", f"{API}/events").status
        for each in opened:
            each.close()

        wait_for_a_place(send)

    def test_a_client_that_never_reads_loses_its_stream(
        self,
        names: App,
        address: tuple[str, int],
        headers: dict[str, str],
        send: Send,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        A client that does not read its stream is disconnected, and its place is free again.
        """
        opened = [open_stream(address, headers) for _ in range(MOST_STREAMS_OF_ONE)]
        monkeypatch.setattr(throttle, "REQUEST_SECONDS", 0.5)
        for event in FLOOD:
            names.connection.xadd(EVENTS, {"event": event})

        wait_for_a_place(send)
        for each in opened:
            each.close()


def wait_for_a_place(send: Send) -> None:
    """
    Open a stream as soon as a place for it is free.
    """

    def is_open() -> bool | None:
        # A busy machine may not send the request in time.
        with suppress(OSError):
            return send("GET", f"{API}/events").status == 200 or None
        return None

    wait_until(is_open, lambda: "no place is free", pause_seconds=0.2)


def open_stream(address: tuple[str, int], headers: dict[str, str]) -> socket.socket:
    """
    Open a stream; return its socket after the first bytes.
    """
    connection = socket.socket()
    connection.settimeout(30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(address)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection.sendall(f"GET {API}/events HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection
