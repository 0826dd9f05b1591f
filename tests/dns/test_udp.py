"""
Test UDP queries, whose datagrams may be lost, duplicated or forged.
"""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from certworker.dns import udp
from certworker.dns.udp import RESEND_SECONDS, Server, UdpQuery, exchange, has_route


class Echo:
    """
    A server that answers each datagram with the result of *respond*.
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
        Return the address of the server.
        """
        host, port = self._socket.getsockname()
        return str(host), int(port)

    def _serve(self) -> None:
        while True:
            content, client = self._socket.recvfrom(1000)
            self.received.append(content)
            for answer in self._respond(content):
                self._socket.sendto(answer, client)


def query(server: Server, content: bytes, about: object = None) -> UdpQuery[bytes]:
    """
    Return a query whose answer starts with its content.
    """
    return UdpQuery(
        server, about or content, content, lambda found: found if found.startswith(content) else None
    )


@pytest.fixture
def endless_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Make the timeout of an exchange longer than any test.
    """
    monkeypatch.setattr(udp, "TIMEOUT_SECONDS", 3_600.0)


@contextmanager
def no_more_files() -> Iterator[None]:
    """
    Prevent this process from opening files and sockets during a `with` block.
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
    Run a server that sends each datagram back with a mark.
    """
    return Echo(lambda content: [content + b"!"])


class TestExchange:
    def test_each_query_gets_its_own_reply(self, mirror: Echo) -> None:
        """
        Each query gets its own reply, although all share one socket and replies come in any order.
        """
        queries = [query(mirror.server, b"%03d" % number) for number in range(100)]

        assert [b"%03d!" % number for number in range(100)] == exchange(queries)

    def test_a_reply_to_another_query_is_ignored(self) -> None:
        """
        A reply to another query is ignored.
        """
        echo = Echo(lambda content: [b"nonsense", b"", content + b"!"])

        assert [b"one!"] == exchange([query(echo.server, b"one")])

    def test_a_lost_datagram_is_sent_again(self) -> None:
        """
        A query without a reply is sent again.
        """
        seen: list[bytes] = []

        def ignore_first(content: bytes) -> list[bytes]:
            seen.append(content)
            return [content] if len(seen) > 1 else []

        assert [b"one"] == exchange([query(Echo(ignore_first).server, b"one")])
        assert [b"one", b"one"] == seen

    @pytest.mark.usefixtures("endless_timeout")
    def test_a_closed_port_costs_no_time(self, mirror: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A closed port is reported immediately, because the kernel reports it.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
            closed.bind(("127.0.0.1", 0))
            closed_address = closed.getsockname()
        monkeypatch.setattr(udp, "GRACE_SECONDS", 3_600.0)

        assert [None, None, b"one!"] == exchange(
            [query(closed_address, b"one"), query(closed_address, b"two"), query(mirror.server, b"one")]
        )

    @pytest.mark.usefixtures("endless_timeout")
    def test_a_silent_server_costs_little_time_if_others_answer(self, mirror: Echo) -> None:
        """
        A silent server delays the result only a little if other servers have answered.
        """
        silent = Echo(lambda _content: [])

        found = exchange([query(silent.server, b"one", "A"), query(mirror.server, b"two", "A")])

        assert [None, b"two!"] == found

    @pytest.mark.slow
    def test_without_any_reply_the_exchange_ends(self) -> None:
        """
        The exchange ends at the timeout, and repeats the query until then.
        """
        silent = Echo(lambda _content: [])

        assert [None] == exchange([query(silent.server, b"one")])
        assert {b"one"} == set(silent.received)
        assert 1 < len(silent.received) <= 1 + len(RESEND_SECONDS)

    def test_an_unreachable_address_has_no_reply(self, mirror: Echo) -> None:
        """
        An unreachable server has no reply, as with IPv6 on many machines.
        """
        queries = [query(("100::1", 53), b"one"), query(mirror.server, b"two")]

        assert b"two!" == exchange(queries)[1]

    def test_without_a_socket_there_is_no_reply(self, mirror: Echo) -> None:
        """
        A server without a socket has no reply, for example without IPv6 or with too many open files.
        """
        with no_more_files():
            assert [None, None] == exchange([query(mirror.server, b"a"), query(mirror.server, b"b")])

        assert [b"c!"] == exchange([query(mirror.server, b"c")])


class TestRoute:
    def test_an_address_of_this_machine_has_a_route(self) -> None:
        """
        An address of this machine has a route. The check sends no packet.
        """
        assert has_route(("127.0.0.1", 53))

    @pytest.mark.parametrize("address", ["255.255.255.255", "no address"])
    def test_an_unreachable_address_has_no_route(self, address: str) -> None:
        """
        An unreachable or invalid address has no route.
        """
        assert not has_route((address, 53))

    def test_without_a_socket_there_is_no_route(self) -> None:
        """
        No address has a route if the process has too many open files.
        """
        with no_more_files():
            assert not has_route(("127.0.0.1", 53))
