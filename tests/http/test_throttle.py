"""
Tests of the connections: a client error delays the next request, and other requests are answered at once.
"""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from http.client import HTTPConnection

import pytest

from certworker.http import throttle
from certworker.http.throttle import CONNECTIONS, PAUSE_SECONDS, REQUEST_SECONDS
from tests.http.test_server import ANSWER, CHALLENGE, ask, opened
from tests.servers.trickle import trickling
from tests.servers.worker import wait_until

GARBAGE = "/.well-known/acme-challenge/nobody-made-this-one"


class Clock:
    """
    A clock that advances only when a test sets it.
    """

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """
    Install a clock for the servers that are opened from now on.
    """
    clock = Clock()
    monkeypatch.setattr(throttle, "monotonic", clock)
    return clock


@pytest.fixture
def long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Make the pause longer than the patience of a client.
    """
    monkeypatch.setattr(throttle, "PAUSE_SECONDS", 3_600.0)


def status_of(connection: HTTPConnection, path: str) -> int:
    """
    Return the status of one more request on the same *connection*.
    """
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status


class TestVisitor:
    def test_after_garbage_a_connection_has_to_wait(self) -> None:
        """
        After a client error the next request waits, so that a flood takes no time from jobs.
        """
        with opened() as server:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
            assert 404 == status_of(connection, GARBAGE)
            began = time.monotonic()

            assert 200 == status_of(connection, CHALLENGE)
            assert time.monotonic() - began > PAUSE_SECONDS * 0.9
            connection.close()

    @pytest.mark.usefixtures("long_pause")
    def test_a_server_error_causes_no_pause(self) -> None:
        """
        After a 503 the next request is answered at once.
        """

        def away(_token: str) -> str | None:
            raise ConnectionError("Redis is away")

        with opened(answer=away) as server:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=30)

            assert [503] * 20 == [status_of(connection, CHALLENGE) for _ in range(20)]
            connection.close()

    @pytest.mark.usefixtures("long_pause")
    def test_what_is_there_comes_at_once(self) -> None:
        """
        A proxy sends many requests on one connection without a delay.
        """
        with opened() as server:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=30)

            assert [200] * 100 == [status_of(connection, CHALLENGE) for _ in range(100)]
            connection.close()

    def test_requests_in_a_row_end_with_the_first_that_is_garbage(self) -> None:
        """
        Pipelined requests end with the first client error, because no pause fits between them.
        """
        with (
            opened() as server,
            socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection,
        ):
            connection.sendall(50 * f"GET {GARBAGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answered = b""
            with suppress(ConnectionResetError):  # it is closed before all of them are read
                while piece := connection.recv(1 << 16):
                    answered += piece

        assert answered.count(b"HTTP/1.1 404") <= 1

    def test_a_ca_is_answered_in_the_midst_of_a_flood(self) -> None:
        """
        A CA gets its response during a flood on other connections.
        """
        with opened() as server:
            flood = [HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(200)]
            for connection in flood:
                connection.request("GET", GARBAGE)

            assert ANSWER.encode() == ask(server, CHALLENGE)[1]
            assert {404} == {connection.getresponse().status for connection in flood}
            for connection in flood:
                connection.close()


class TestBoundedServer:
    def test_a_server_full_of_slow_requests_answers_the_next_one(self) -> None:
        """
        A full server closes the connections that have waited longest, and answers a new one.
        """
        with opened() as server, trickling("127.0.0.1", server.port, CONNECTIONS + 280):
            for _ in range(5):
                assert ANSWER.encode() == ask(server, CHALLENGE)[1]

    def test_it_never_has_many_more_connections_than_it_may(self) -> None:
        """
        The number of connections stays limited: jobs need open files as well.
        """
        with opened() as server, ExitStack() as stack:
            for _ in range(CONNECTIONS + 200):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            assert ANSWER.encode() == ask(server, CHALLENGE)[1]

            wait_until(
                lambda: len(server._connections) <= CONNECTIONS + 2 or None,
                lambda: str(len(server._connections)),
            )

    def test_that_it_is_full_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The log has one line about a full server.
        """
        with caplog.at_level("WARNING"), opened() as server, ExitStack() as stack:
            for _ in range(3 * CONNECTIONS):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            assert ANSWER.encode() == ask(server, CHALLENGE)[1]

        assert 1 == len(caplog.messages)
        assert f"{CONNECTIONS} connections" in caplog.messages[0]

    def test_a_request_that_comes_byte_by_byte_is_cut_off(self, clock: Clock) -> None:
        """
        Single bytes do not extend the time of a request.
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

    def test_unread_answers_are_given_up(self, clock: Clock) -> None:
        """
        An answer that the client does not read is given up after its time.
        """
        with (
            opened(answer=lambda _: "x" * 20_000_000) as server,
            socket.create_connection(("127.0.0.1", server.port)) as client,
        ):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.sendall(f"GET {CHALLENGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            client.recv(1)
            assert 3 == len(server._connections)  # with those that listen and wake

            def closed() -> bool | None:
                clock.seconds += 1
                return len(server._connections) == 2 or None

            wait_until(closed, lambda: "still open")

    def test_a_connection_that_is_used_stays_open(self, clock: Clock) -> None:
        """
        Each answer starts the time for the next request.
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
