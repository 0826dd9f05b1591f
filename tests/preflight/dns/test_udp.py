"""
Datagrams get lost, come twice, come from strangers, or never come.
"""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from certworker.preflight.dns.udp import Server, UdpQuery, exchange


class Echo:
    """
    Answers each datagram with what *respond* makes of it.
    """

    def __init__(self, respond: Callable[[bytes], list[bytes]]) -> None:
        self._respond = respond
        self.received: list[bytes] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def server(self) -> Server:
        """
        Where it listens.
        """
        host, port = self._socket.getsockname()
        return str(host), int(port)

    def _serve(self) -> None:
        while True:
            content, client = self._socket.recvfrom(1000)
            self.received.append(content)
            for answer in self._respond(content):
                self._socket.sendto(answer, client)


def letter(server: Server, content: bytes, about: object = None) -> UdpQuery[bytes]:
    """
    A question whose answer begins with it.
    """
    return UdpQuery(
        server, about or content, content, lambda found: found if found.startswith(content) else None
    )


@contextmanager
def no_more_files() -> Iterator[None]:
    """
    For the length of a `with` block, a process that may open no file and no socket.
    """
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(lowest := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def mirror() -> Echo:
    """
    Says everything again, with a mark.
    """
    return Echo(lambda content: [content + b"!"])


class TestExchange:
    def test_each_letter_gets_its_own_reply(self, mirror: Echo) -> None:
        """
        The replies come in any order, on one socket for each server.
        """
        asked = [letter(mirror.server, b"%03d" % number) for number in range(100)]

        assert [b"%03d!" % number for number in range(100)] == exchange(asked)

    def test_what_answers_something_else_is_not_taken(self) -> None:
        """
        A late answer to another question must not pass for this one.
        """
        liar = Echo(lambda content: [b"nonsense", b"", content + b"!"])

        assert [b"one!"] == exchange([letter(liar.server, b"one")])

    def test_a_lost_datagram_is_sent_again(self) -> None:
        """
        One lost packet must not mean that a name server is dead.
        """
        seen: list[bytes] = []

        def deaf_at_first(content: bytes) -> list[bytes]:
            seen.append(content)
            return [content] if len(seen) > 1 else []

        assert [b"one"] == exchange([letter(Echo(deaf_at_first).server, b"one")])
        assert [b"one", b"one"] == seen

    def test_a_server_that_is_not_there_costs_no_time(self, mirror: Echo) -> None:
        """
        The kernel knows at once that nobody listens.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
            closed.bind(("127.0.0.1", 0))
            nobody = closed.getsockname()
        began = time.monotonic()

        assert [None, None, b"one!"] == exchange(
            [letter(nobody, b"one"), letter(nobody, b"two"), letter(mirror.server, b"one")]
        )
        assert time.monotonic() - began < 1

    def test_a_silent_server_is_not_waited_for_once_others_have_answered(self, mirror: Echo) -> None:
        """
        One dead name server of two is common, and must not make each check three seconds longer.
        """
        silent = Echo(lambda _content: [])
        began = time.monotonic()

        found = exchange([letter(silent.server, b"one", "A"), letter(mirror.server, b"two", "A")])

        assert [None, b"two!"] == found
        assert time.monotonic() - began < 1

    def test_where_nobody_answers_it_ends_all_the_same(self) -> None:
        """
        It takes as long as it may, and no longer.
        """
        silent = Echo(lambda _content: [])
        began = time.monotonic()

        assert [None] == exchange([letter(silent.server, b"one")])
        assert 2.5 < time.monotonic() - began < 4

    def test_an_address_without_a_way_is_no_answer(self, mirror: Echo) -> None:
        """
        Many machines have no IPv6, or none that leads anywhere.
        """
        asked = [letter(("100::1", 53), b"one"), letter(mirror.server, b"two")]

        assert b"two!" == exchange(asked)[1]

    def test_a_server_for_which_there_is_no_socket_gives_no_answer(self, mirror: Echo) -> None:
        """
        A kernel without IPv6 opens none for an IPv6 server; neither does a process with too many open files.
        """
        with no_more_files():
            assert [None, None] == exchange([letter(mirror.server, b"a"), letter(mirror.server, b"b")])

        assert [b"c!"] == exchange([letter(mirror.server, b"c")])
