"""
One deadline for a complete exchange.
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
    Return the TLS contexts of a server and of a client that does not verify it.
    """
    certificate = Signer().certificate("shop.example.org")
    (tmp_path / "pair.pem").write_bytes(certificate.key.pem + certificate.fullchain_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "pair.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return server, client


class TestReading:
    def test_a_slow_peer_without_tls_does_not_exceed_the_deadline(self) -> None:
        """
        The connection ends at the deadline, even if each single read is fast.
        """
        deadline = Deadline(0.3)
        with (
            trickling() as port,
            deadline.connect([Place.of(HOME, port)]) as connection,
            connection.makefile("rb") as answer,
            pytest.raises(TimeoutError, match=r"within 0\.3 s"),
        ):
            answer.read(MOST_PIECES)

    def test_a_slow_peer_with_tls_does_not_exceed_the_deadline(
        self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        """
        The deadline applies to the read methods of a TLS connection, too.
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

    def test_a_slow_handshake_does_not_exceed_the_deadline(
        self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        """
        The deadline applies to a TLS handshake whose record never ends.
        """
        _, client = contexts
        deadline = Deadline(0.3)
        with trickling(greeting=b"\x16\x03\x03\x40\x00") as port:
            connection = deadline.connect([Place.of(HOME, port)])
            with connection, pytest.raises(TimeoutError):
                deadline.secure(connection, client, "shop.example.org")

    def test_an_endless_response_is_limited_in_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A fast peer cannot fill the memory within the deadline.
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
    def test_a_peer_that_reads_nothing_does_not_exceed_the_deadline(self) -> None:
        """
        The connection ends at the deadline if the peer does not read and the buffers are full.
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
        The connection uses the next address if no server answers at the first address.
        """
        with trickling() as port:
            places = [Place.of(HOME, free_port()), Place.of(HOME, port)]
            with Deadline(5).connect(places) as connection:
                assert port == connection.getpeername()[1]

    def test_one_address_does_not_use_the_time_of_the_others(self) -> None:
        """
        The next address gets its share of the time, even if a firewall drops the packets to the first
        address.
        """
        with full_backlog() as deaf, trickling() as port:
            places = [Place.of(HOME, deaf), Place.of(HOME, port)]
            with Deadline(2).connect(places) as connection:
                assert port == connection.getpeername()[1]

    def test_after_the_deadline_no_connection_is_made(self) -> None:
        """
        An exchange opens no connection after its deadline.
        """
        with trickling() as port, pytest.raises(TimeoutError):
            Deadline(0).connect([Place.of(HOME, port)])

    def test_a_host_without_an_address_has_a_reason(self) -> None:
        """
        A host without an address raises an `OSError` with a reason.
        """
        with pytest.raises(OSError, match="no address"):
            Deadline(1).connect([])

    def test_the_deadline_applies_to_a_unix_socket(self, tmp_path: Path) -> None:
        """
        A connection to a Unix socket, as of a container engine, ends at the deadline.
        """
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            with Deadline(0.2).connect_unix(path) as connection, pytest.raises(TimeoutError):
                connection.makefile("rb").read(1)


class TestPlaces:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_an_ip_address_needs_no_lookup(self, host: str) -> None:
        """
        The result has the address without brackets.
        """
        assert {ip_address(host)} == {place.ip for place in Deadline(5).places(host, 80)}

    @pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".org", "nowhere.invalid", "\ud800"])
    def test_a_host_without_an_address_raises_oserror(self, host: str) -> None:
        """
        A host without an address raises an `OSError`, even if the codec for host names rejects it.
        """
        with pytest.raises(OSError):  # noqa: PT011 (the message comes from the C library)
            Deadline(5).places(host, 80)

    def test_a_lookup_ends_at_the_deadline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A lookup ends at the deadline if the resolver does not answer. The C library waits for 30 seconds or
        more.
        """
        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30) and [])
        with pytest.raises(TimeoutError, match=r"no address of slow\.example\.org within 0\.2 s"):
            Deadline(0.2).places("slow.example.org", 80)
        released.set()


@contextmanager
def full_backlog() -> Iterator[int]:
    """
    Yield a port whose queue of connections is full, so that it accepts no other connection.
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
