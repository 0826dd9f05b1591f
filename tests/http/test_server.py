"""
The one HTTP port.
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
    What a responder with one order under way says.
    """
    return ANSWER if token == TOKEN else None


def well() -> Mapping[str, object]:
    """
    All parts are well.
    """
    return {"healthy": True, "redis": True, "scheduler": True, "stalled": []}


def explain(error: BaseException) -> CertworkerError | None:
    """
    Explain what a Redis that is away raises.
    """
    away = isinstance(error, ConnectionError)
    return RedisUnreachable(address="redis:6379", reason=error) if away else None


@contextmanager
def opened(
    host: str = "127.0.0.1",
    *,
    answer: Callable[[str], str | None] = answer,
    healthy: Callable[[], Mapping[str, object]] = well,
    explain: Callable[[BaseException], CertworkerError | None] = unexplained,
) -> Iterator[HttpServer]:
    """
    A door on a free port.
    """
    door = HttpServer(
        HttpAddress(host, 0),
        answer=answer,
        healthy=healthy,
        metrics=lambda: b"jobs_total 1\n",
        explain=explain,
    )
    door.start()
    try:
        yield door
    finally:
        door.stop()


@pytest.fixture
def door() -> Iterator[HttpServer]:
    """
    The door of a healthy worker.
    """
    with opened() as door:
        yield door


def ask(
    door: HttpServer,
    path: str,
    method: str = "GET",
    *,
    host: str = "127.0.0.1",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[HTTPResponse, bytes]:
    """
    The response of *door* with its body.
    """
    connection = HTTPConnection(host, door.port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


class TestChallenge:
    """
    What a CA asks for (RFC 8555, section 8.3).
    """

    def test_the_answer_is_the_key_authorization_and_nothing_else(self, door: HttpServer) -> None:
        """
        The CA compares all of it; Let's Encrypt reads 127 bytes at most.
        """
        response, body = ask(door, CHALLENGE)

        assert (response.status, response.getheader("Content-Type"), body) == (
            200,
            "text/plain",
            ANSWER.encode(),
        )

    @pytest.mark.parametrize("host", ["a.org", "A.ORG:80", "203.0.113.7", "[2001:db8::1]", "unknown"])
    def test_whatever_the_host(self, door: HttpServer, host: str) -> None:
        """
        The token alone decides; a proxy may have changed the Host.
        """
        assert ask(door, CHALLENGE, headers={"Host": host})[1] == ANSWER.encode()

    def test_head_is_answered_without_a_body(self, door: HttpServer) -> None:
        """
        Monitors and `curl -I` look this way.
        """
        response, body = ask(door, CHALLENGE, "HEAD")

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
    def test_anything_else_is_not_found(self, door: HttpServer, path: str) -> None:
        """
        The door leads to three things.
        """
        assert ask(door, path)[0].status == 404

    @pytest.mark.parametrize("path", ["/healthz", "/metrics", "/metrics?name[]=up"])
    @pytest.mark.parametrize("disguise", ["/{}", "///{}", "http://x{}", "/.{}", "/x/..{}", "/%2e{}"])
    def test_pages_of_the_operator_are_answered_under_their_literal_path_only(
        self, door: HttpServer, path: str, disguise: str
    ) -> None:
        """
        A proxy that forbids `/metrics` forbids every spelling that this server understands.
        """
        assert ask(door, path)[0].status == 200
        assert ask(door, disguise.format(path))[0].status == 404

    @pytest.mark.parametrize("path", ["/%6Detrics", "/metric%73", "/healthz%20", "/metrics%3F"])
    def test_encoded_spellings_are_not_found_either(self, door: HttpServer, path: str) -> None:
        """
        Percent-encoding is one more way to write the same path.
        """
        assert ask(door, path)[0].status == 404

    def test_a_challenge_may_be_requested_in_absolute_form(self, door: HttpServer) -> None:
        """
        Servers accept the absolute form of a target (RFC 9112, section 3.2.2), and proxies send it.
        """
        assert ask(door, f"http://shop.example.org{CHALLENGE}")[1] == ANSWER.encode()

    @pytest.mark.parametrize("text", ["..%2f..%2fetc%2fpasswd", "a" * 101, "a%20b", "%ff", "a.b", "{token}"])
    def test_what_is_no_token_is_not_looked_up(self, text: str) -> None:
        """
        Behind the door are Redis and the disk.
        """
        looked_up: list[str] = []
        with opened(answer=looked_up.append) as door:
            response, _ = ask(door, f"/.well-known/acme-challenge/{text}")

        assert (response.status, looked_up) == (404, [])

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
    def test_other_methods_are_refused(self, door: HttpServer, method: str) -> None:
        """
        Nothing can be changed through this port.
        """
        response, _ = ask(door, CHALLENGE, method)

        assert (response.status, response.getheader("Allow")) == (405, "GET, HEAD")

    def test_while_redis_is_away_the_ca_is_told_to_ask_again(self) -> None:
        """
        A 404 would say that the answer does not exist, and a trace would say too much.
        """

        def away(token: str) -> str | None:
            raise ConnectionError("redis://user:secret@redis is away")

        with opened(answer=away) as door:
            response, body = ask(door, CHALLENGE)

        assert response.status == 503
        assert b"secret" not in body

    def test_an_outage_is_said_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        Whoever floods the port must not flood the log; the next outage is news again.
        """
        away = [True]

        def sometimes(token: str) -> str | None:
            if away[0]:
                raise ConnectionError("Redis is away")
            return answer(token)

        with opened(answer=sometimes, explain=explain) as door, caplog.at_level("WARNING", "certworker.http"):
            statuses = []
            for away[0] in (True, True, False, True):
                statuses.append(ask(door, CHALLENGE)[0].status)

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
        self, door: HttpServer, request_text: str, status: int
    ) -> None:
        """
        Also the answers to requests that the server refuses before it reads what they are for.
        """
        with socket.create_connection(("127.0.0.1", door.port), timeout=10) as client:
            client.sendall(request_text.encode())
            response = HTTPResponse(client)
            response.begin()

        assert response.status == status
        assert response.getheader("Cache-Control") == "no-store"
        assert response.getheader("X-Content-Type-Options") == "nosniff"

    def test_the_server_does_not_say_what_it_is(self, door: HttpServer) -> None:
        """
        Scanners of the Internet look for versions.
        """
        assert ask(door, CHALLENGE)[0].getheader("Server") is None


class TestHealth:
    """
    What the container's health check asks.
    """

    def test_a_well_worker(self, door: HttpServer) -> None:
        """
        Docker starts what depends on it.
        """
        response, body = ask(door, "/healthz")

        assert response.status == 200
        assert json.loads(body) == well()

    def test_an_unwell_worker_with_its_parts(self) -> None:
        """
        "unhealthy" alone sends people searching.
        """
        parts = {"healthy": False, "redis": True, "scheduler": True, "stalled": ["maintenance"]}
        with opened(healthy=lambda: parts) as door:
            response, body = ask(door, "/healthz")

        assert response.status == 503
        assert json.loads(body) == parts

    def test_a_check_that_fails_is_not_well(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The reason is in the log, with its traceback, and once.
        """

        def broken() -> Mapping[str, object]:
            raise ValueError("odd")

        with opened(healthy=broken) as door:
            statuses = [ask(door, path)[0].status for path in ("/healthz", "/healthz", CHALLENGE)]

        assert statuses == [503, 503, 200]
        (line,) = caplog.records
        assert "[worker.unexpected] unexpected error in an answer of the HTTP server" in line.message
        assert line.exc_info


class TestMetrics:
    """
    What Prometheus asks.
    """

    def test_its_text_format(self, door: HttpServer) -> None:
        """
        Prometheus 3 refuses a scrape without its content type.
        """
        response, body = ask(door, "/metrics")

        assert body == b"jobs_total 1\n"
        assert re.match(r"text/plain; version=0\.0\.4", response.getheader("Content-Type") or "")


class TestAddress:
    """
    Where it listens.
    """

    @pytest.mark.parametrize(("listening", "asking"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")])
    def test_ipv6_takes_ipv4_too_where_it_is_open(self, listening: str, asking: str) -> None:
        """
        `[::]:8080` means everybody; half of them would be a riddle.
        """
        with opened(listening) as door:
            assert ask(door, CHALLENGE, host=asking)[0].status == 200

    def test_a_taken_port_is_named(self, door: HttpServer) -> None:
        """
        The first thing that goes wrong on a new host.
        """
        second = HttpServer(
            HttpAddress("127.0.0.1", door.port), answer=answer, healthy=well, metrics=lambda: b""
        )

        with pytest.raises(AddressNotUsable) as caught:
            second.start()

        assert f"127.0.0.1:{door.port}" in caught.value.message
        assert "another program" in caught.value.message

    def test_an_address_of_another_machine_is_named(self) -> None:
        """
        The public address of a cloud host is often not its own.
        """
        elsewhere = HttpServer(HttpAddress("192.0.2.1", 0), answer=answer, healthy=well, metrics=lambda: b"")

        with pytest.raises(AddressNotUsable, match=r"192\.0\.2\.1:0"):
            elsewhere.start()

    def test_a_closed_door_can_be_opened_again_at_once(self, door: HttpServer) -> None:
        """
        The kernel keeps the port of a connection that we ended for a minute; a restarted worker cannot wait.
        """
        with socket.create_connection(("127.0.0.1", door.port), timeout=10) as visitor:
            visitor.sendall(f"GET {CHALLENGE} HTTP/1.1\r\nHost: a.org\r\n\r\n".encode())
            visitor.recv(1000)
            port = door.port
            door.stop()
            again = HttpServer(
                HttpAddress("127.0.0.1", port), answer=answer, healthy=well, metrics=lambda: b""
            )
            again.start()

            assert ask(again, CHALLENGE)[0].status == 200

        again.stop()
        again.stop()


class TestFlood:
    """
    Port 80 is open to everybody.
    """

    def test_silent_connections_keep_nobody_out(self, door: HttpServer) -> None:
        """
        Half-open requests are the cheapest attack; a CA has to get its answer all the same.
        """
        with ExitStack() as stack:
            for _ in range(CONNECTIONS - 100):
                silent = stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
                silent.sendall(b"GET /.well-known/acme-challenge/")

            assert ask(door, CHALLENGE)[1] == ANSWER.encode()

    def test_long_headers_are_refused(self, door: HttpServer) -> None:
        """
        Nobody needs them here.
        """
        response, _ = ask(door, CHALLENGE, headers={"X-Long": "x" * LONGEST_HEADER})

        assert response.status == 431

    def test_long_bodies_are_refused(self, door: HttpServer) -> None:
        """
        Nobody has to send one here.
        """
        response, _ = ask(door, CHALLENGE, "POST", body=b"x" * (LONGEST_BODY + 1))

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
    def test_rubbish_does_not_close_the_door(self, door: HttpServer, request_bytes: bytes) -> None:
        """
        Scanners send it every minute.
        """
        with socket.create_connection(("127.0.0.1", door.port), timeout=10) as scanner:
            scanner.sendall(request_bytes)
            scanner.shutdown(socket.SHUT_WR)
            scanner.recv(1000)

        assert ask(door, CHALLENGE)[1] == ANSWER.encode()
