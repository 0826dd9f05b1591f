"""
One deadline for a whole exchange.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from certworker import deadline as module
from certworker.deadline import Deadline, Place
from tests.servers.ports import free_port
from tests.servers.trickling import MOST_PIECES, trickling
from tests.storage.authority import Signer

HOME = ip_address("127.0.0.1")


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """
    The contexts of a server and of a client that does not verify it.
    """
    certificate = Signer().certificate("shop.example.org")
    (tmp_path / "pair.pem").write_bytes(certificate.key.pem + certificate.fullchain_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "pair.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return server, client


class TestReading:
    def test_a_plain_peer_that_is_never_silent_is_ended(self) -> None:
        """
        No single read is late, but all of them together are.
        """
        deadline = Deadline(0.3)
        with (
            trickling() as port,
            deadline.connect([Place.of(HOME, port)]) as connection,
            connection.makefile("rb") as answer,
            pytest.raises(TimeoutError, match=r"within 0\.3 s"),
        ):
            answer.read(MOST_PIECES)

    def test_a_secured_peer_that_is_never_silent_is_ended(
        self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        """
        TLS has methods of its own for reading.
        """
        server, client = contexts
        deadline = Deadline(1)
        with (
            trickling(server) as port,
            deadline.connect_to("localhost", port) as plain,
            deadline.secure(plain, client, "shop.example.org") as connection,
            connection.makefile("rb") as answer,
            pytest.raises(TimeoutError),
        ):
            answer.read(MOST_PIECES)

    def test_a_handshake_that_comes_in_pieces_is_ended(
        self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        """
        It counts, too: the header of a record announces more bytes than ever come.
        """
        _, client = contexts
        deadline = Deadline(0.3)
        with trickling(greeting=b"\x16\x03\x03\x40\x00") as port:
            connection = deadline.connect([Place.of(HOME, port)])
            with connection, pytest.raises(TimeoutError):
                deadline.secure(connection, client, "shop.example.org")

    def test_an_answer_without_an_end_is_not_kept_in_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A quick peer could send gigabytes within the deadline.
        """
        monkeypatch.setattr(module, "LARGEST_EXCHANGE", 10)
        deadline = Deadline(30)
        with (
            trickling() as port,
            deadline.connect([Place.of(HOME, port)]) as connection,
            connection.makefile("rb") as answer,
            pytest.raises(OSError, match="more than"),
        ):
            answer.read(MOST_PIECES)


class TestWriting:
    def test_a_peer_that_reads_nothing_is_ended(self) -> None:
        """
        What is sent fills the buffers of both sides, then waits.
        """
        deadline = Deadline(0.3)
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            deadline.connect([Place.of(HOME, listener.getsockname()[1])]) as connection,
            pytest.raises(TimeoutError),
        ):
            connection.sendall(bytes(64 << 20))


class TestConnect:
    def test_the_next_address_is_tried(self) -> None:
        """
        A host may have an IPv6 address without a server.
        """
        with trickling() as port:
            places = [Place.of(HOME, free_port()), Place.of(HOME, port)]
            with Deadline(5).connect(places) as connection:
                assert port == connection.getpeername()[1]

    def test_one_address_does_not_use_up_the_time_of_the_others(self) -> None:
        """
        A firewall that drops packets is the common case.
        """
        with full_backlog() as deaf, trickling() as port:
            places = [Place.of(HOME, deaf), Place.of(HOME, port)]
            with Deadline(2).connect(places) as connection:
                assert port == connection.getpeername()[1]

    def test_after_the_deadline_no_connection_is_made(self) -> None:
        """
        The steps of an exchange share it.
        """
        with trickling() as port, pytest.raises(TimeoutError):
            Deadline(0).connect([Place.of(HOME, port)])

    def test_without_an_address_there_is_a_reason(self) -> None:
        """
        It is a failure of the network like any other.
        """
        with pytest.raises(OSError, match="no address"):
            Deadline(1).connect([])

    def test_a_unix_socket_is_bound_to_it_as_well(self, tmp_path: Path) -> None:
        """
        Container engines listen there.
        """
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            with Deadline(0.2).connect_unix(path) as connection, pytest.raises(TimeoutError):
                connection.makefile("rb").read(1)


class TestPlaces:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_an_address_is_its_own_place(self, host: str) -> None:
        """
        It is written without brackets.
        """
        assert {ip_address(host)} == {place.ip for place in Deadline(5).places(host, 80)}

    @pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".org", "nowhere.invalid", "\ud800"])
    def test_what_has_no_address_is_an_oserror(self, host: str) -> None:
        """
        The codec for host names raises others.
        """
        with pytest.raises(OSError):  # noqa: PT011 (the words are the C library's)
            Deadline(5).places(host, 80)

    def test_a_resolver_that_is_silent_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The C library waits for half a minute and more.
        """
        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30) and [])
        with pytest.raises(TimeoutError, match=r"no address of slow\.example\.org within 0\.2 s"):
            Deadline(0.2).places("slow.example.org", 80)
        released.set()


@contextmanager
def full_backlog() -> Iterator[int]:
    """
    A port that answers no further connection: its queue is full.
    """
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        yield deaf.getsockname()[1]
        for each in waiting:
            each.close()
