"""
Tests of the HTTP server.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest

from certworker.errors import CertworkerError
from certworker.errors.config import AddressNotUsable
from certworker.errors.redis import RedisUnreachable
from certworker.http import HttpServer
from certworker.http.server import BOUNDS
from certworker.settings import HttpAddress
from certworker.supervision import unexplained

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
CHALLENGE = f"/.well-known/acme-challenge/{TOKEN}"
ANSWER = f"{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"


def answer(token: str) -> str | None:
    """
    Return the key authorization of one pending challenge.
    """
    return ANSWER if token == TOKEN else None


def healthy_parts() -> Mapping[str, object]:
    """
    Return the health of a worker whose parts are all healthy.
    """
    return {"healthy": True, "redis": True, "scheduler": True, "stalled": []}


def explain(error: BaseException) -> CertworkerError | None:
    """
    Return the failure for *error*, if Redis is unreachable.
    """
    unreachable = isinstance(error, ConnectionError)
    return RedisUnreachable(address="redis:6379", reason=error) if unreachable else None


@contextmanager
def opened(
    host: str = "127.0.0.1",
    *,
    answer: Callable[[str], str | None] = answer,
    healthy: Callable[[], Mapping[str, object]] = healthy_parts,
    explain: Callable[[BaseException], CertworkerError | None] = unexplained,
    answers_at_once: Callable[[str], bool] = lambda _token: False,
) -> Iterator[HttpServer]:
    """
    Yield a server on a free port.
    """
    server = HttpServer(
        HttpAddress(host, 0),
        answer=answer,
        answers_at_once=answers_at_once,
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
    Yield the server of a healthy worker.
    """
    with opened() as server:
        yield server


def request(
    server: HttpServer,
    path: str,
    method: str = "GET",
    *,
    host: str = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[HTTPResponse, bytes]:
    """
    Send a request to *server*; return the response and its body.
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

    def test_the_response_is_the_key_authorization(self, server: HttpServer) -> None:
        """
        The body is only the key authorization, because the CA compares the complete body.
        """
        response, body = request(server, CHALLENGE)

        assert (response.status, response.getheader("Content-Type"), body) == (
            200,
            "text/plain",
            ANSWER.encode(),
        )

    @pytest.mark.parametrize(("at_once", "thread"), [(True, "responder"), (False, "waitress-")])
    def test_the_loop_responds_to_tokens_of_this_worker(self, at_once: bool, thread: str) -> None:
        """
        The loop responds without another thread if no Redis command is needed, also twice on a connection.
        """

        def answer(_token: str) -> str:
            return threading.current_thread().name

        with opened(answer=answer, answers_at_once=lambda token: at_once and token == TOKEN) as server:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
            for _ in range(2):
                connection.request("GET", CHALLENGE)
                assert connection.getresponse().read().decode().startswith(thread)
            connection.close()
            assert request(server, f"{CHALLENGE}x")[1].decode().startswith("waitress-")

    @pytest.mark.parametrize("host", ["a.org", "A.ORG:80", "203.0.113.7", "[2001:db8::1]", "unknown"])
    def test_the_host_is_ignored(self, server: HttpServer, host: str) -> None:
        """
        The response depends only on the token, because a proxy can change the Host header.
        """
        assert request(server, CHALLENGE, headers={"Host": host})[1] == ANSWER.encode()

    def test_head_is_answered_without_a_body(self, server: HttpServer) -> None:
        """
        HEAD, which monitors and `curl -I` send, has the same headers and no body.
        """
        response, body = request(server, CHALLENGE, "HEAD")

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
    def test_another_path_is_not_found(self, server: HttpServer, path: str) -> None:
        """
        Each other path has the status 404.
        """
        assert request(server, path)[0].status == 404

    @pytest.mark.parametrize("path", ["/healthz", "/metrics", "/metrics?name[]=up"])
    @pytest.mark.parametrize("spelling", ["/{}", "///{}", "http://x{}", "/.{}", "/x/..{}", "/%2e{}"])
    def test_operator_pages_have_one_spelling(self, server: HttpServer, path: str, spelling: str) -> None:
        """
        Only the literal path is found, so that a proxy that forbids `/metrics` forbids it completely.
        """
        assert request(server, path)[0].status == 200
        assert request(server, spelling.format(path))[0].status == 404

    @pytest.mark.parametrize("path", ["/%6Detrics", "/metric%73", "/healthz%20", "/metrics%3F"])
    def test_encoded_spellings_are_not_found(self, server: HttpServer, path: str) -> None:
        """
        A percent-encoded spelling of an operator page has the status 404.
        """
        assert request(server, path)[0].status == 404

    def test_a_challenge_can_be_requested_in_absolute_form(self, server: HttpServer) -> None:
        """
        The server accepts the absolute form of a target (RFC 9112, section 3.2.2).
        """
        assert request(server, f"http://shop.example.org{CHALLENGE}")[1] == ANSWER.encode()

    @pytest.mark.parametrize("text", ["..%2f..%2fetc%2fpasswd", "a" * 101, "a%20b", "%ff", "a.b", "{token}"])
    def test_an_invalid_token_is_not_read(self, text: str) -> None:
        """
        An invalid token has the status 404, and reaches neither Redis nor the disk.
        """
        tokens: list[str] = []
        with opened(answer=tokens.append) as server:
            response, _ = request(server, f"/.well-known/acme-challenge/{text}")

        assert (response.status, tokens) == (404, [])

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
    def test_other_methods_are_refused(self, server: HttpServer, method: str) -> None:
        """
        Only GET and HEAD are allowed.
        """
        response, _ = request(server, CHALLENGE, method)

        assert (response.status, response.getheader("Allow")) == (405, "GET, HEAD")

    def test_without_redis_the_status_is_503(self) -> None:
        """
        Without Redis, the status is 503 without details, because 404 means that there is no challenge.
        """

        def fail(token: str) -> str | None:
            raise ConnectionError("redis://user:secret@redis is unreachable")

        with opened(answer=fail) as server:
            response, body = request(server, CHALLENGE)

        assert response.status == 503
        assert b"secret" not in body

    def test_an_outage_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        Each outage of Redis is logged once.
        """
        unreachable = [True]

        def sometimes(token: str) -> str | None:
            if unreachable[0]:
                raise ConnectionError("Redis is unreachable")
            return answer(token)

        with (
            opened(answer=sometimes, explain=explain) as server,
            caplog.at_level("WARNING", "certworker.http"),
        ):
            statuses = []
            for unreachable[0] in (True, True, False, True):
                statuses.append(request(server, CHALLENGE)[0].status)

        assert statuses == [503, 503, 200, 503]
        failure = RedisUnreachable(address="redis:6379", reason="Redis is unreachable")
        assert caplog.messages == [f"cannot respond to a request: {failure.message}"] * 2

    @pytest.mark.parametrize(
        ("request_text", "status"),
        [
            (f"GET {CHALLENGE} HTTP/1.1\r\n\r\n", 200),
            ("GET / HTTP/1.1\r\n\r\n", 404),
            ("POST / HTTP/1.1\r\n\r\n", 405),
            ("GET / HTTP/1.1\r\nBad Header\r\n\r\n", 400),
            (f"POST / HTTP/1.1\r\nContent-Length: {BOUNDS.longest_body}\r\n\r\n", 413),
            (f"GET / HTTP/1.1\r\nX: {'x' * BOUNDS.longest_header}\r\n\r\n", 431),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ],
    )
    def test_every_response_forbids_caching_and_sniffing(
        self, server: HttpServer, request_text: str, status: int
    ) -> None:
        """
        Each response, even to a malformed request, forbids caching and sniffing.
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
        assert request(server, CHALLENGE)[0].getheader("Server") is None


class TestHealth:
    """
    Tests of the container's health check.
    """

    def test_a_healthy_worker_has_the_status_200(self, server: HttpServer) -> None:
        """
        A healthy worker has the status 200 and the state of each part.
        """
        response, body = request(server, "/healthz")

        assert response.status == 200
        assert json.loads(body) == healthy_parts()

    def test_an_unhealthy_worker_has_the_status_503(self) -> None:
        """
        An unhealthy worker has the status 503 and the state of each part.
        """
        parts = {"healthy": False, "redis": True, "scheduler": True, "stalled": ["maintenance"]}
        with opened(healthy=lambda: parts) as server:
            response, body = request(server, "/healthz")

        assert response.status == 503
        assert json.loads(body) == parts

    def test_a_failed_check_is_unhealthy(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        A health check that raises has the status 503, and its traceback is logged once.
        """

        def broken() -> Mapping[str, object]:
            raise ValueError("odd")

        with opened(healthy=broken) as server:
            statuses = [request(server, path)[0].status for path in ("/healthz", "/healthz", CHALLENGE)]

        assert statuses == [503, 503, 200]
        # A server of an earlier test may still be closing its connections.
        (line,) = [record for record in caplog.records if record.name.startswith("certworker.")]
        assert "[worker.unexpected] unexpected error in a response from the HTTP server" in line.message
        assert line.exc_info


class TestMetrics:
    """
    Tests of the metrics.
    """

    def test_the_format_is_that_of_prometheus(self, server: HttpServer) -> None:
        """
        The content type is that of the text format of Prometheus, which Prometheus 3 requires.
        """
        response, body = request(server, "/metrics")

        assert body == b"jobs_total 1\n"
        assert re.match(r"text/plain; version=0\.0\.4", response.getheader("Content-Type") or "")


class TestAddress:
    """
    Tests of the address that the server listens on.
    """

    @pytest.mark.parametrize(("listening", "asking"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")])
    def test_an_unspecified_ipv6_address_accepts_ipv4(self, listening: str, asking: str) -> None:
        """
        A server on `[::]` accepts IPv4 and IPv6.
        """
        with opened(listening) as server:
            assert request(server, CHALLENGE, host=asking)[0].status == 200

    def test_a_port_in_use_is_named(self, server: HttpServer) -> None:
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
        An address of another machine is named, such as the public address of a cloud host.
        """
        elsewhere = HttpServer(
            HttpAddress("192.0.2.1", 0), answer=answer, healthy=healthy_parts, metrics=lambda: b""
        )

        with pytest.raises(AddressNotUsable, match=r"192\.0\.2\.1:0"):
            elsewhere.start()

    def test_a_stopped_server_can_start_again_at_once(self, server: HttpServer) -> None:
        """
        A server can listen on the port of a server that has just stopped.
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

            assert request(again, CHALLENGE)[0].status == 200

        again.stop()
        again.stop()


class TestFlood:
    """
    Tests of attacks, because the port is open to the Internet.
    """

    def test_silent_connections_block_no_request(self, server: HttpServer) -> None:
        """
        A request gets its response while many connections send nothing.
        """
        with ExitStack() as stack:
            for _ in range(BOUNDS.connections - 100):
                silent = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                silent.sendall(b"GET /.well-known/acme-challenge/")

            assert request(server, CHALLENGE)[1] == ANSWER.encode()

    def test_long_headers_are_refused(self, server: HttpServer) -> None:
        """
        A request with long headers has the status 431.
        """
        response, _ = request(server, CHALLENGE, headers={"X-Long": "x" * BOUNDS.longest_header})

        assert response.status == 431

    def test_long_bodies_are_refused(self, server: HttpServer) -> None:
        """
        A request with a long body has the status 413.
        """
        response, _ = request(server, CHALLENGE, "POST", body=b"x" * (BOUNDS.longest_body + 1))

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
        The server answers the next request after a malformed one.
        """
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(request_bytes)
            client.shutdown(socket.SHUT_WR)
            client.recv(1000)

        assert request(server, CHALLENGE)[1] == ANSWER.encode()
