"""
Tests of the HTTP server.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest

from certworker.errors import CertworkerError
from certworker.errors.config import AddressNotUsable
from certworker.errors.redis import RedisUnreachable
from certworker.http import HttpServer
from certworker.http.server import LONGEST_BODY, LONGEST_HEADER
from certworker.http.throttle import CONNECTIONS
from certworker.settings import HttpAddress
from certworker.supervision import unexplained

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
CHALLENGE = f"/.well-known/acme-challenge/{TOKEN}"
ANSWER = f"{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"


def answer(token: str) -> str | None:
    """
    Answer as the responder of one pending order.
    """
    return ANSWER if token == TOKEN else None


def healthy_parts() -> Mapping[str, object]:
    """
    Return the health of a worker whose parts are all healthy.
    """
    return {"healthy": True, "redis": True, "scheduler": True, "stalled": []}


def explain(error: BaseException) -> CertworkerError | None:
    """
    Explain a connection error of Redis.
    """
    away = isinstance(error, ConnectionError)
    return RedisUnreachable(address="redis:6379", reason=error) if away else None


@contextmanager
def opened(
    host: str = "127.0.0.1",
    *,
    answer: Callable[[str], str | None] = answer,
    healthy: Callable[[], Mapping[str, object]] = healthy_parts,
    explain: Callable[[BaseException], CertworkerError | None] = unexplained,
) -> Iterator[HttpServer]:
    """
    Open a server on a free port.
    """
    server = HttpServer(
        HttpAddress(host, 0),
        answer=answer,
        healthy=healthy,
        metrics=lambda: b"jobs_total 1\n",
        explain=explain,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server() -> Iterator[HttpServer]:
    """
    Return the server of a healthy worker.
    """
    with opened() as server:
        yield server


def ask(
    server: HttpServer,
    path: str,
    method: str = "GET",
    *,
    host: str = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[HTTPResponse, bytes]:
    """
    Return the response of *server* and its body.
    """
    connection = HTTPConnection(host, server.port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


class TestChallenge:
    """
    Tests of the requests of a CA (RFC 8555, section 8.3).
    """

    def test_the_answer_is_the_key_authorization_and_nothing_else(self, server: HttpServer) -> None:
        """
        The CA compares the whole body, and Let's Encrypt reads at most 127 bytes.
        """
        response, body = ask(server, CHALLENGE)

        assert (response.status, response.getheader("Content-Type"), body) == (
            200,
            "text/plain",
            ANSWER.encode(),
        )

    @pytest.mark.parametrize("host", ["a.org", "A.ORG:80", "203.0.113.7", "[2001:db8::1]", "unknown"])
    def test_whatever_the_host(self, server: HttpServer, host: str) -> None:
        """
        Only the token decides: a proxy may change the Host.
        """
        assert ask(server, CHALLENGE, headers={"Host": host})[1] == ANSWER.encode()

    def test_head_is_answered_without_a_body(self, server: HttpServer) -> None:
        """
        Monitors and `curl -I` send HEAD.
        """
        response, body = ask(server, CHALLENGE, "HEAD")

        assert (response.status, response.getheader("Content-Length"), body) == (200, str(len(ANSWER)), b"")

    @pytest.mark.parametrize(
        "path",
        [
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/unknown",
            f"{CHALLENGE}/",
            f"{CHALLENGE}%00",
            "/.well-known/acme-challenge/../../etc/passwd",
            "/.well-known/acme-challenge/..%2f..%2fetc%2fpasswd",
            "/.well-known/acme-challenge/%ff%fe",
            "/.well-known/",
            "/",
            "/healthz/",
            "/metrics/jobs",
        ],
    )
    def test_anything_else_is_not_found(self, server: HttpServer, path: str) -> None:
        """
        Every other path is unknown.
        """
        assert ask(server, path)[0].status == 404

    @pytest.mark.parametrize("path", ["/healthz", "/metrics", "/metrics?name[]=up"])
    @pytest.mark.parametrize("disguise", ["/{}", "///{}", "http://x{}", "/.{}", "/x/..{}", "/%2e{}"])
    def test_pages_of_the_operator_are_answered_under_their_literal_path_only(
        self, server: HttpServer, path: str, disguise: str
    ) -> None:
        """
        A proxy that forbids `/metrics` forbids every spelling that this server understands.
        """
        assert ask(server, path)[0].status == 200
        assert ask(server, disguise.format(path))[0].status == 404

    @pytest.mark.parametrize("path", ["/%6Detrics", "/metric%73", "/healthz%20", "/metrics%3F"])
    def test_encoded_spellings_are_not_found_either(self, server: HttpServer, path: str) -> None:
        """
        Percent-encoding is another spelling of the same path.
        """
        assert ask(server, path)[0].status == 404

    def test_a_challenge_may_be_requested_in_absolute_form(self, server: HttpServer) -> None:
        """
        Servers accept the absolute form of a target (RFC 9112, section 3.2.2), and proxies send it.
        """
        assert ask(server, f"http://shop.example.org{CHALLENGE}")[1] == ANSWER.encode()

    @pytest.mark.parametrize("text", ["..%2f..%2fetc%2fpasswd", "a" * 101, "a%20b", "%ff", "a.b", "{token}"])
    def test_an_invalid_token_is_not_looked_up(self, text: str) -> None:
        """
        An invalid token reaches neither Redis nor the disk.
        """
        looked_up: list[str] = []
        with opened(answer=looked_up.append) as server:
            response, _ = ask(server, f"/.well-known/acme-challenge/{text}")

        assert (response.status, looked_up) == (404, [])

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
    def test_other_methods_are_refused(self, server: HttpServer, method: str) -> None:
        """
        Only GET and HEAD are allowed.
        """
        response, _ = ask(server, CHALLENGE, method)

        assert (response.status, response.getheader("Allow")) == (405, "GET, HEAD")

    def test_without_redis_the_status_is_503(self) -> None:
        """
        The answer is 503 without details: 404 would mean that there is no response.
        """

        def away(token: str) -> str | None:
            raise ConnectionError("redis://user:secret@redis is away")

        with opened(answer=away) as server:
            response, body = ask(server, CHALLENGE)

        assert response.status == 503
        assert b"secret" not in body

    def test_an_outage_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        An outage is logged once, and so is the next one.
        """
        away = [True]

        def sometimes(token: str) -> str | None:
            if away[0]:
                raise ConnectionError("Redis is away")
            return answer(token)

        with (
            opened(answer=sometimes, explain=explain) as server,
            caplog.at_level("WARNING", "certworker.http"),
        ):
            statuses = []
            for away[0] in (True, True, False, True):
                statuses.append(ask(server, CHALLENGE)[0].status)

        assert statuses == [503, 503, 200, 503]
        failure = RedisUnreachable(address="redis:6379", reason="Redis is away")
        assert caplog.messages == [f"challenges cannot be answered: {failure.message}"] * 2

    @pytest.mark.parametrize(
        ("request_text", "status"),
        [
            (f"GET {CHALLENGE} HTTP/1.1\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\n\r\n", 404),
            ("POST / HTTP/1.1\r\n\r\n", 405),
            ("GET / HTTP/1.1\r\nBad Header\r\n\r\n", 400),
            (f"POST / HTTP/1.1\r\nContent-Length: {LONGEST_BODY}\r\n\r\n", 413),
            (f"GET / HTTP/1.1\r\nX: {'x' * LONGEST_HEADER}\r\n\r\n", 431),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ],
    )
    def test_every_answer_forbids_caching_and_sniffing(
        self, server: HttpServer, request_text: str, status: int
    ) -> None:
        """
        Answers to malformed requests have the same headers.
        """
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(request_text.encode())
            response = HTTPResponse(client)
            response.begin()

        assert response.status == status
        assert response.getheader("Cache-Control") == "no-store"
        assert response.getheader("X-Content-Type-Options") == "nosniff"

    def test_the_server_does_not_reveal_its_software(self, server: HttpServer) -> None:
        """
        No header reveals the software or its version.
        """
        assert ask(server, CHALLENGE)[0].getheader("Server") is None


class TestHealth:
    """
    Tests of the container's health check.
    """

    def test_a_well_worker(self, server: HttpServer) -> None:
        """
        A healthy worker is reported with 200.
        """
        response, body = ask(server, "/healthz")

        assert response.status == 200
        assert json.loads(body) == healthy_parts()

    def test_an_unwell_worker_with_its_parts(self) -> None:
        """
        An unhealthy worker is reported with 503 and the state of each part.
        """
        parts = {"healthy": False, "redis": True, "scheduler": True, "stalled": ["maintenance"]}
        with opened(healthy=lambda: parts) as server:
            response, body = ask(server, "/healthz")

        assert response.status == 503
        assert json.loads(body) == parts

    def test_a_check_that_fails_is_not_well(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A health check that raises is unhealthy, and its traceback is logged once.
        """

        def broken() -> Mapping[str, object]:
            raise ValueError("odd")

        with opened(healthy=broken) as server:
            statuses = [ask(server, path)[0].status for path in ("/healthz", "/healthz", CHALLENGE)]

        assert statuses == [503, 503, 200]
        (line,) = caplog.records
        assert "[worker.unexpected] unexpected error in an answer of the HTTP server" in line.message
        assert line.exc_info


class TestMetrics:
    """
    Tests of the metrics.
    """

    def test_its_text_format(self, server: HttpServer) -> None:
        """
        The content type is that of Prometheus' text format, which Prometheus 3 requires.
        """
        response, body = ask(server, "/metrics")

        assert body == b"jobs_total 1\n"
        assert re.match(r"text/plain; version=0\.0\.4", response.getheader("Content-Type") or "")


class TestAddress:
    """
    Tests of the address that the server listens on.
    """

    @pytest.mark.parametrize(("listening", "asking"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")])
    def test_ipv6_takes_ipv4_too_where_it_is_open(self, listening: str, asking: str) -> None:
        """
        `[::]:8080` accepts IPv4 and IPv6.
        """
        with opened(listening) as server:
            assert ask(server, CHALLENGE, host=asking)[0].status == 200

    def test_a_taken_port_is_named(self, server: HttpServer) -> None:
        """
        The failure names the address whose port is in use.
        """
        second = HttpServer(
            HttpAddress("127.0.0.1", server.port), answer=answer, healthy=healthy_parts, metrics=lambda: b""
        )

        with pytest.raises(AddressNotUsable) as caught:
            second.start()

        assert f"127.0.0.1:{server.port}" in caught.value.message
        assert "another program" in caught.value.message

    def test_an_address_of_another_machine_is_named(self) -> None:
        """
        The public address of a cloud host often does not belong to its interface.
        """
        elsewhere = HttpServer(
            HttpAddress("192.0.2.1", 0), answer=answer, healthy=healthy_parts, metrics=lambda: b""
        )

        with pytest.raises(AddressNotUsable, match=r"192\.0\.2\.1:0"):
            elsewhere.start()

    def test_a_stopped_server_can_start_again_at_once(self, server: HttpServer) -> None:
        """
        A restarted worker does not wait until the kernel releases the port.
        """
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(f"GET {CHALLENGE} HTTP/1.1\r\nHost: a.org\r\n\r\n".encode())
            client.recv(1000)
            port = server.port
            server.stop()
            again = HttpServer(
                HttpAddress("127.0.0.1", port), answer=answer, healthy=healthy_parts, metrics=lambda: b""
            )
            again.start()

            assert ask(again, CHALLENGE)[0].status == 200

        again.stop()
        again.stop()


class TestFlood:
    """
    Tests of attacks: the port is open to the Internet.
    """

    def test_silent_connections_block_no_request(self, server: HttpServer) -> None:
        """
        A CA gets its response while many connections send nothing.
        """
        with ExitStack() as stack:
            for _ in range(CONNECTIONS - 100):
                silent = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                silent.sendall(b"GET /.well-known/acme-challenge/")

            assert ask(server, CHALLENGE)[1] == ANSWER.encode()

    def test_long_headers_are_refused(self, server: HttpServer) -> None:
        """
        A request with long headers is refused.
        """
        response, _ = ask(server, CHALLENGE, headers={"X-Long": "x" * LONGEST_HEADER})

        assert response.status == 431

    def test_long_bodies_are_refused(self, server: HttpServer) -> None:
        """
        A request with a long body is refused.
        """
        response, _ = ask(server, CHALLENGE, "POST", body=b"x" * (LONGEST_BODY + 1))

        assert response.status == 413

    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"\x00\x01\x02\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /.well-known/acme-challenge/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzzz",
        ],
    )
    def test_malformed_requests_do_not_stop_the_server(
        self, server: HttpServer, request_bytes: bytes
    ) -> None:
        """
        The server answers after malformed requests.
        """
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as scanner:
            scanner.sendall(request_bytes)
            scanner.shutdown(socket.SHUT_WR)
            scanner.recv(1000)

        assert ask(server, CHALLENGE)[1] == ANSWER.encode()
