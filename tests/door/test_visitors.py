"""
Who asks for what is not there is heard again a little later; everybody else at once.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from http.client import HTTPConnection

from certworker.door.visitors import PAUSE_SECONDS
from tests.door.test_port import ANSWER, CHALLENGE, ask, opened

GARBAGE = "/.well-known/acme-challenge/nobody-made-this-one"


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
