"""
Who asks for what is not there is heard again a little later; everybody else at once.
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
    The clock of the server, which stands still unless a test advances it.
    """

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """
    A clock for the servers that are opened from now on.
    """
    clock = Clock()
    monkeypatch.setattr(throttle, "monotonic", clock)
    return clock


def status_of(connection: HTTPConnection, path: str) -> int:
    """
    The answer to one more request on the same *connection*.
    """
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status


class TestVisitor:
    def test_after_garbage_a_connection_has_to_wait(self) -> None:
        """
        Otherwise a flood of garbage takes the time that jobs need.
        """
        with opened() as door:
            connection = HTTPConnection("127.0.0.1", door.port, timeout=30)
            assert 404 == status_of(connection, GARBAGE)
            began = time.monotonic()

            assert 200 == status_of(connection, CHALLENGE)
            assert time.monotonic() - began > PAUSE_SECONDS * 0.9
            connection.close()

    def test_what_fails_on_our_side_is_nobody_s_garbage(self) -> None:
        """
        A proxy that meets an outage of Redis is heard as soon as it is over.
        """

        def away(_token: str) -> str | None:
            raise ConnectionError("Redis is away")

        with opened(answer=away) as door:
            connection = HTTPConnection("127.0.0.1", door.port, timeout=30)
            began = time.monotonic()

            assert [503] * 20 == [status_of(connection, CHALLENGE) for _ in range(20)]
            assert time.monotonic() - began < 20 * PAUSE_SECONDS / 2
            connection.close()

    def test_what_is_there_comes_at_once(self) -> None:
        """
        A proxy asks again and again on a connection that it keeps.
        """
        with opened() as door:
            connection = HTTPConnection("127.0.0.1", door.port, timeout=30)
            began = time.monotonic()

            assert [200] * 100 == [status_of(connection, CHALLENGE) for _ in range(100)]
            assert time.monotonic() - began < 100 * PAUSE_SECONDS / 2
            connection.close()

    def test_requests_in_a_row_end_with_the_first_that_is_garbage(self) -> None:
        """
        They are read in one go, so that no pause would come between them.
        """
        with opened() as door, socket.create_connection(("127.0.0.1", door.port), timeout=30) as connection:
            connection.sendall(50 * f"GET {GARBAGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answered = b""
            with suppress(ConnectionResetError):  # it is closed before all of them are read
                while piece := connection.recv(1 << 16):
                    answered += piece

        assert answered.count(b"HTTP/1.1 404") <= 1

    def test_a_ca_is_answered_in_the_midst_of_a_flood(self) -> None:
        """
        It comes on a connection of its own.
        """
        with opened() as door:
            flood = [HTTPConnection("127.0.0.1", door.port, timeout=30) for _ in range(200)]
            for connection in flood:
                connection.request("GET", GARBAGE)

            assert ANSWER.encode() == ask(door, CHALLENGE)[1]
            assert {404} == {connection.getresponse().status for connection in flood}
            for connection in flood:
                connection.close()


class TestBoundedServer:
    def test_a_server_full_of_slow_requests_answers_the_next_one(self) -> None:
        """
        The connections that wait the longest go; a CA connects last and is answered all the same.
        """
        with opened() as door, trickling("127.0.0.1", door.port, CONNECTIONS + 280):
            for _ in range(5):
                assert ANSWER.encode() == ask(door, CHALLENGE)[1]

    def test_it_never_has_many_more_connections_than_it_may(self) -> None:
        """
        Beyond 1,024 open files the jobs of the worker fail.
        """
        with opened() as door, ExitStack() as stack:
            for _ in range(CONNECTIONS + 200):
                stack.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=10))
            assert ANSWER.encode() == ask(door, CHALLENGE)[1]

            wait_until(
                lambda: len(door._connections) <= CONNECTIONS + 2 or None, lambda: str(len(door._connections))
            )

    def test_that_it_is_full_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        An operator learns of the attack, and the log does not fill up.
        """
        with caplog.at_level("WARNING"), opened() as door, ExitStack() as stack:
            for _ in range(3 * CONNECTIONS):
                stack.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=10))
            assert ANSWER.encode() == ask(door, CHALLENGE)[1]

        assert 1 == len(caplog.messages)
        assert f"{CONNECTIONS} connections" in caplog.messages[0]

    def test_a_request_that_comes_byte_by_byte_is_cut_off(self, clock: Clock) -> None:
        """
        Each byte shows that the client is there, and none renews its time.
        """
        with opened() as door, socket.create_connection(("127.0.0.1", door.port)) as client:
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

    def test_answers_that_nobody_reads_are_cut_off(self, clock: Clock) -> None:
        """
        The kernel takes no more of them, so that waiting until they are sent would never end.
        """
        with (
            opened(answer=lambda _: "x" * 20_000_000) as door,
            socket.create_connection(("127.0.0.1", door.port)) as client,
        ):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.sendall(f"GET {CHALLENGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            client.recv(1)
            assert 3 == len(door._connections)  # with those that listen and wake

            def closed() -> bool | None:
                clock.seconds += 1
                return len(door._connections) == 2 or None

            wait_until(closed, lambda: "still open")

    def test_a_connection_that_is_used_stays_open(self, clock: Clock) -> None:
        """
        Each answer gives a proxy its time for the next request.
        """
        with opened() as door:
            connection = HTTPConnection("127.0.0.1", door.port, timeout=30)
            connection.connect()
            first = connection.sock
            for _ in range(5):
                assert 200 == status_of(connection, CHALLENGE)
                clock.seconds += REQUEST_SECONDS * 0.7

            assert connection.sock is first
            connection.close()
