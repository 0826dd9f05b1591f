"""
Tests of the throttle: a client error delays the next request of its connection, and no other.
"""

from __future__ import annotations

import socket
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from http.client import HTTPConnection, HTTPException
from threading import Event

import pytest

from certworker.http import server
from certworker.http.server import BOUNDS
from certworker.http.throttle import REQUEST_SECONDS, ThrottledChannel
from tests.http.conftest import Clock
from tests.http.test_server import ANSWER, CHALLENGE, opened, request
from tests.servers.trickle import trickling
from tests.servers.worker import wait_until

UNKNOWN = "/.well-known/acme-challenge/unknown-token"

#: The number of slow clients, which the server does not close.
SLOW_CLIENTS = 240


@pytest.fixture
def long_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Make the delay longer than the timeout of a client.
    """
    monkeypatch.setattr(server, "BOUNDS", replace(BOUNDS, pause_seconds=3_600.0))


def status_of(connection: HTTPConnection, path: str) -> int:
    """
    Send another request over *connection*, and return its status.
    """
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status


class TestThrottle:
    def test_a_client_error_delays_the_next_request(self) -> None:
        """
        After a client error, the next request of the connection waits, so that a flood delays no job.
        """
        with opened() as server:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
            assert 404 == status_of(connection, UNKNOWN)
            start = time.monotonic()

            assert 200 == status_of(connection, CHALLENGE)
            assert time.monotonic() - start > BOUNDS.pause_seconds * 0.9
            connection.close()

    @pytest.mark.usefixtures("long_delay")
    def test_a_server_error_causes_no_delay(self) -> None:
        """
        After a 503, the next request gets its response immediately.
        """

        def fail(_token: str) -> str | None:
            raise ConnectionError("Redis is unreachable")

        with opened(answer=fail) as server:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=30)

            assert [503] * 20 == [status_of(connection, CHALLENGE) for _ in range(20)]
            connection.close()

    @pytest.mark.usefixtures("long_delay")
    def test_a_known_challenge_causes_no_delay(self) -> None:
        """
        Many requests for a known challenge over one connection are answered without a delay.
        """
        with opened() as server:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=30)

            assert [200] * 100 == [status_of(connection, CHALLENGE) for _ in range(100)]
            connection.close()

    def test_pipelined_requests_end_with_the_first_client_error(self) -> None:
        """
        The connection of pipelined requests closes after the first client error.
        """
        with (
            opened() as server,
            socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection,
        ):
            connection.sendall(50 * f"GET {UNKNOWN} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answered = b""
            # The server closes the connection before it reads all requests.
            with suppress(ConnectionResetError):
                while piece := connection.recv(1 << 16):
                    answered += piece

        assert answered.count(b"HTTP/1.1 404") <= 1

    def test_a_request_is_answered_during_a_flood(self) -> None:
        """
        A request gets its response during a flood over other connections.
        """
        with opened() as server:
            flood = [HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(200)]
            for connection in flood:
                connection.request("GET", UNKNOWN)

            assert ANSWER.encode() == request(server, CHALLENGE)[1]
            assert {404} == {connection.getresponse().status for connection in flood}
            for connection in flood:
                connection.close()


class TestStrictParser:
    @pytest.mark.parametrize(
        ("line", "headers"),
        [
            ("GET http://[/ HTTP/1.1", ""),
            ("GET / HTTP/1.1", f"Content-Length: {'9' * 5_000}\r\n"),
            ("GET / HTTP/1.1", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
            ("GET / HTTP/1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"),
        ],
    )
    def test_an_ambiguous_request_is_refused_and_ends_the_connection(
        self, line: str, headers: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A request that a proxy could read differently is 400, without a line in the log or a second response.
        """
        smuggled = f"0\r\n\r\nGET {CHALLENGE} HTTP/1.1\r\nHost: x\r\n\r\n"
        with opened() as server, socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            client.sendall(f"{line}\r\nHost: x\r\n{headers}\r\n{smuggled}".encode())
            answered = b""
            # The server closes the connection before it reads the second request.
            with suppress(ConnectionResetError):
                while piece := client.recv(1 << 16):
                    answered += piece

        assert answered.split(b" ", 2)[1] == b"400"
        assert 1 == answered.count(b"HTTP/1.")
        assert [] == caplog.messages


class TestBoundedServer:
    def test_a_server_full_of_slow_requests_answers_the_next_one(self) -> None:
        """
        A full server closes the connections that have waited longest, and answers a new request.
        """
        with opened() as server, trickling("127.0.0.1", server.port, BOUNDS.connections + 280):
            for _ in range(5):
                assert ANSWER.encode() == request(server, CHALLENGE)[1]

    @pytest.mark.usefixtures("clock")
    def test_slow_requests_use_little_memory(self) -> None:
        """
        Connections whose requests arrive piece by piece, and never end, use the size of their headers.
        """
        beginning = b"GET /.well-known/acme-challenge/"
        pieces = [beginning, *[b"a" * 512] * (BOUNDS.longest_header // 512 - 1), *[b"a"] * 20]
        with opened() as server, ExitStack() as stack:
            address = ("127.0.0.1", server.port)
            clients = [
                stack.enter_context(socket.create_connection(address, timeout=10))
                for _ in range(SLOW_CLIENTS)
            ]
            tracemalloc.start()
            stack.callback(tracemalloc.stop)
            for piece in pieces:
                for client in clients:
                    client.sendall(piece)
            channels = server._listener._server.active_channels

            def received() -> int | None:
                requests = [each.request for each in channels.values() if each.request]
                sent = sum(map(len, pieces)) * SLOW_CLIENTS
                return sent if sent == sum(each.header_bytes_received for each in requests) else None

            sent = wait_until(received, lambda: f"{len(channels)} connections")
            assert ANSWER.encode() == request(server, CHALLENGE)[1]
            # The headers once, their last copy, and the objects of a connection.
            assert tracemalloc.get_traced_memory()[1] < 2 * sent + SLOW_CLIENTS * 8 * 1024

    def test_a_stop_during_a_write_is_no_error(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A server that stops while a thread writes a response closes the connection after the write.
        """
        write, writing = ThrottledChannel.send, Event()

        def slow(channel: ThrottledChannel, data: bytes, do_close: bool = True) -> int:
            writing.set()
            wait_until(lambda: channel.server.accepting is False or None, lambda: "not stopped")
            time.sleep(0.1)  # long enough for the loop to close the connection, if nothing prevents it
            return int(write(channel, data, do_close))

        monkeypatch.setattr(ThrottledChannel, "send", slow)
        with opened() as server, ThreadPoolExecutor(1) as client:
            requested = client.submit(request, server, CHALLENGE)
            assert writing.wait(10)
            server.stop()
            # The response may be cut between its head and its body.
            with suppress(HTTPException, OSError):
                requested.result()
        assert [] == caplog.messages

    def test_a_stopped_server_cannot_be_woken(self) -> None:
        """
        A thread whose answer ends after the stop writes to no file.
        """
        with opened() as server:
            server.stop()

            server._listener._server.pull_trigger()
            server._listener._server.stop()

    def test_the_number_of_connections_is_limited(self) -> None:
        """
        The number of connections is limited, because jobs need open files as well.
        """
        with opened() as server, ExitStack() as stack:
            for _ in range(BOUNDS.connections + 200):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            assert ANSWER.encode() == request(server, CHALLENGE)[1]

            wait_until(
                lambda: len(server._listener._connections) <= BOUNDS.connections + 2 or None,
                lambda: str(len(server._listener._connections)),
            )

    def test_a_full_server_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The log has one line about a full server.
        """
        with caplog.at_level("WARNING"), opened() as server, ExitStack() as stack:
            for _ in range(3 * BOUNDS.connections):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            assert ANSWER.encode() == request(server, CHALLENGE)[1]

        assert 1 == len(caplog.messages)
        assert f"{BOUNDS.connections} connections" in caplog.messages[0]

    def test_a_slow_request_is_closed(self, clock: Clock) -> None:
        """
        A request that is not complete in time is closed, even if single bytes arrive.
        """
        with opened() as server, socket.create_connection(("127.0.0.1", server.port)) as client:
            client.setblocking(False)

            def closed() -> bool | None:
                clock.seconds += 1
                with suppress(BlockingIOError):
                    try:
                        client.send(b"G")
                        return client.recv(1) == b"" or None
                    except ConnectionError:
                        return True
                return None

            wait_until(closed, lambda: "still open", pause_seconds=0.1)

    def test_an_unread_response_is_closed(self, clock: Clock) -> None:
        """
        A connection whose client does not read the response in time is closed.
        """
        with (
            opened(answer=lambda _: "x" * 20_000_000) as server,
            socket.create_connection(("127.0.0.1", server.port)) as client,
        ):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.sendall(f"GET {CHALLENGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            client.recv(1)
            # The number includes the listening socket and the one that wakes the loop.
            assert 3 == len(server._listener._connections)

            def closed() -> bool | None:
                clock.seconds += 1
                return len(server._listener._connections) == 2 or None

            wait_until(closed, lambda: "still open")

    def test_a_used_connection_remains_open(self, clock: Clock) -> None:
        """
        Each response restarts the time limit of the connection.
        """
        with opened() as server:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.connect()
            first = connection.sock
            for _ in range(5):
                assert 200 == status_of(connection, CHALLENGE)
                clock.seconds += REQUEST_SECONDS * 0.7

            assert connection.sock is first
            connection.close()
