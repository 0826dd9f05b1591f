"""
Tests of the WSGI server on one address: streams, prefixes and clients that do not read.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from threading import Event
from typing import Any

import pytest

from certworker.errors.config import AddressNotUsable
from certworker.http.listener import Application, Listener, unusable
from certworker.http.throttle import Bounds
from certworker.settings import HttpAddress
from tests.http.conftest import Clock
from tests.servers.worker import wait_until

VARIABLE = "CERTWORKER_TEST_ADDRESS"
BOUNDS = Bounds(
    "the test",
    connections=20,
    threads=2,
    pause_seconds=0,
    read_at_once=8192,
    longest_header=8192,
    longest_body=1024,
    unread=4096,
)


@contextmanager
def opened(application: Application, prefix: str = "") -> Iterator[Listener]:
    """
    Yield a server on a free port.
    """
    listener = Listener(
        HttpAddress("127.0.0.1", 0), application, BOUNDS, name="test", variable=VARIABLE, prefix=prefix
    )
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()


def echo(request: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """
    Answer with the prefix and the path.
    """
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{request['SCRIPT_NAME']} {request['PATH_INFO']}".encode()]


def get(listener: Listener, path: str) -> str:
    """
    Return the body of the answer for *path*.
    """
    connection = HTTPConnection("127.0.0.1", listener.port, timeout=30)
    connection.request("GET", path)
    body = connection.getresponse().read().decode()
    connection.close()
    return body


class TestListener:
    def test_a_request_may_have_the_prefix_or_lack_it(self) -> None:
        """
        A proxy may remove the prefix or pass it on.
        """
        with opened(echo, prefix="/certs") as listener:
            assert ["/certs /names", "/certs /names", "/certs /certsnames"] == [
                get(listener, path) for path in ("/certs/names", "/names", "/certsnames")
            ]

    def test_an_address_in_use_is_a_failure(self) -> None:
        """
        A second server on the address fails when it starts, and not later.
        """
        text = (
            f"another program uses it.*Stop the other program, or set {VARIABLE} to another address or port"
        )
        with opened(echo) as listener, pytest.raises(AddressNotUsable, match=text):
            Listener(
                HttpAddress("127.0.0.1", listener.port), echo, BOUNDS, name="test", variable=VARIABLE
            ).start()

    def test_the_remedy_fits_an_address_of_another_machine(self) -> None:
        """
        An address that this machine does not have is not in use, so the remedy stops no program.
        """
        listener = Listener(HttpAddress("192.0.2.1", 8080), echo, BOUNDS, name="test", variable=VARIABLE)

        with pytest.raises(AddressNotUsable, match=f"does not have the address.*{VARIABLE}=0.0.0.0:8080$"):
            listener.start()

    @pytest.mark.parametrize(
        ("code", "remedy"),
        [
            (errno.EACCES, "an address with a port of at least 1024"),
            (errno.EPERM, "an address with a port of at least 1024"),
            (errno.EAFNOSUPPORT, "an address of this machine and a free port"),
        ],
    )
    def test_the_remedy_fits_the_reason(self, code: int, remedy: str) -> None:
        """
        A forbidden port needs another port or a permission, and a missing IPv6 another address.
        """
        failure = unusable(HttpAddress("::", 80), VARIABLE, OSError(code, "the reason"))

        assert ("config.http_address", True) == (failure.code, "the reason" in failure.message)
        assert f"Set {VARIABLE} to {remedy}" in failure.remedy
        assert "Stop" not in failure.remedy

    def test_a_client_that_does_not_read_a_stream_is_closed(self, clock: Clock) -> None:
        """
        A client that does not read a stream blocks its thread only for a while.
        """
        ended = Event()

        def stream(_request: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                while True:
                    yield b"x" * 100_000
            finally:
                ended.set()

        with opened(stream) as listener, socket.create_connection(("127.0.0.1", listener.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            client.recv(1)

            def closed() -> bool | None:
                clock.seconds += 1
                return ended.wait(0.1) or None

            wait_until(closed, lambda: "still open")

    def test_a_stream_lasts_while_its_client_reads(self, clock: Clock) -> None:
        """
        A stream has no time limit while its client reads it, also during its pauses.
        """
        resume = Event()

        def stream(_request: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield b"first\n"
            resume.wait(30)
            yield b"second\n"

        with opened(stream) as listener, socket.create_connection(("127.0.0.1", listener.port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            lines = client.makefile("rb")
            while lines.readline() != b"first\n":
                pass
            with socket.create_connection(("127.0.0.1", listener.port), timeout=1) as idle:

                def closed() -> bool | None:
                    clock.seconds += 20
                    with suppress(TimeoutError):
                        return idle.recv(1) == b"" or None
                    return None

                wait_until(closed, lambda: "the idle connection is still open")
            resume.set()

            assert b"second\n" == lines.readline()

    def test_a_busy_server_is_not_stalled_if_its_answers_may_last(self) -> None:
        """
        Slow answers of a server that allows them do not count as a stall of its loop.
        """
        release = Event()

        def wait(_request: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
            release.wait(30)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"done"]

        address = HttpAddress("127.0.0.1", 0)
        listener = Listener(address, wait, BOUNDS, name="test", variable=VARIABLE, is_always_quick=False)
        listener.start()
        clients = []
        try:
            for _ in range(4):
                client = HTTPConnection("127.0.0.1", listener.port, timeout=30)
                client.request("GET", "/")
                clients.append(client)
            wait_until(lambda: len(listener._server.task_dispatcher.queue) == 2 or None, lambda: "no queue")
            assert 0 == listener._serve()
            release.set()
            assert [b"done"] * 4 == [client.getresponse().read() for client in clients]
        finally:
            release.set()
            listener.stop()
