"""
Connections to a CA: reused, verified, and through a proxy if there is one.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from certworker.acme.http_pool import PrivateAddress, Reach
from certworker.acme.transport import Transport
from certworker.errors.ca import CaUnreachable, NotAcme, TlsIntercepted
from tests.servers.listening import TcpServer
from tests.servers.oddities import Oddity, OddServer, odd_server
from tests.servers.pebble import Pebble


@pytest.fixture
def server() -> Iterator[OddServer]:
    """
    A server that answers as a test wants.
    """
    with odd_server() as started:
        yield started


def transport_to(url: str, ca_bundle: Path | None = None) -> Transport:
    """
    A transport as a worker with two slots has it.
    """
    return Transport(url, ca_bundle=ca_bundle, connections=2)


class TestSession:
    def test_one_is_kept_for_all_requests(self, server: OddServer) -> None:
        """
        A new connection costs more than the rest of an order together.
        """
        server.answers["/"] = Oddity(b'{"a": 1}')
        server.answers["/empty"] = Oddity(b"")
        transport = transport_to(server.url)

        for path in ("/", "/empty", "/", "/missing", "/"):
            transport.send("POST", server.url + path, b"{}")
        transport.send("HEAD", server.url)
        transport.send("GET", server.url)

        assert 1 == server.connections

    def test_the_user_agent_names_certworker(self, server: OddServer) -> None:
        """
        RFC 8555, section 6.1: the operator of a CA can distinguish its clients.
        """
        transport_to(server.url).send("POST", server.url, b"{}")

        assert server.requests[0]["User-Agent"].startswith("certworker/")
        assert "application/jose+json" == server.requests[0]["Content-Type"]
        assert "en" == server.requests[0]["Accept-Language"]

    def test_cookies_are_not_kept(self, server: OddServer) -> None:
        """
        Sixteen threads share the session, and no cookie of one answer is in the request of another.
        """
        server.answers["/"] = Oddity(headers={"Set-Cookie": "seen=1"})
        transport = transport_to(server.url)

        transport.send("GET", server.url)
        transport.send("GET", server.url)

        assert "Cookie" not in server.requests[1]


class TestTls:
    def test_the_bundle_is_trusted(self, pebble: Pebble) -> None:
        """
        A CA of one's own has a root of its own.
        """
        transport = transport_to(pebble.directory_url, pebble.ca_bundle)

        assert 200 == transport.send("GET", pebble.directory_url).status

    def test_the_bundle_wins_over_the_environment(
        self, pebble: Pebble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        REQUESTS_CA_BUNDLE, set for something else, would silently replace it.
        """
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
        transport = transport_to(pebble.directory_url, pebble.ca_bundle)

        assert 200 == transport.send("GET", pebble.directory_url).status

    def test_an_untrusted_certificate_is_refused(self, pebble: Pebble) -> None:
        """
        A proxy that intercepts TLS could read nothing but deny everything; it is named as what it is.
        """
        with pytest.raises(TlsIntercepted) as caught:
            transport_to(pebble.directory_url).send("GET", pebble.directory_url)

        assert "CERTWORKER_CA_BUNDLE=" in caught.value.remedy
        assert "certificate verify failed" in caught.value.message

    def test_a_certificate_for_another_name_is_refused(self, pebble: Pebble) -> None:
        """
        The one shared context checks names, too.
        """
        url = pebble.directory_url.replace("127.0.0.1", "127.0.0.2")
        other = transport_to(url, pebble.ca_bundle)

        with pytest.raises((TlsIntercepted, CaUnreachable)):
            other.send("GET", url)


class TestProxy:
    def test_that_of_the_environment_is_used(self, pebble: Pebble, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Some networks let nothing out but through it; TLS goes through it to the CA itself.
        """
        directory_url = pebble.directory_url.replace("127.0.0.1", "pebble")
        with connect_proxy() as (url, asked):
            monkeypatch.setenv("HTTPS_PROXY", url)
            transport = transport_to(directory_url, pebble.ca_bundle)

            assert 200 == transport.send("GET", directory_url).status
            assert 200 == transport.send("GET", directory_url).status

        assert [directory_url.split("/")[2]] == asked

    def test_not_for_what_is_excepted_from_it(self, pebble: Pebble, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A private CA is on this side of the proxy.
        """
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "pebble")
        monkeypatch.setattr(socket, "getaddrinfo", partial(at_this_machine, socket.getaddrinfo))
        directory_url = pebble.directory_url.replace("127.0.0.1", "pebble")
        transport = transport_to(directory_url, pebble.ca_bundle)

        assert 200 == transport.send("GET", directory_url).status

    def test_not_for_the_loopback_interface(self, server: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The embedded CA is there, and a proxy would take the loopback interface for its own.
        """
        server.answers["/"] = Oddity()
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.delenv("NO_PROXY", raising=False)

        assert 200 == transport_to(server.url).send("GET", server.url).status


class TestReach:
    def test_a_ca_of_the_internet_leads_to_no_private_address(
        self, server: OddServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Its answers would send requests to the machines beside this one; none of them is reached.
        """
        public_and_private(monkeypatch)
        port = server.url.rpartition(":")[2]
        transport = transport_to("http://ca.example/directory")

        with pytest.raises(NotAcme, match=r"inner\.example has the private address 127\.0\.0\.1"):
            transport.send("POST", f"http://inner.example:{port}/", b"{}")

        assert 0 == server.connections

    def test_a_ca_of_a_private_network_leads_to_others(
        self, server: OddServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        It may have several hosts.
        """
        public_and_private(monkeypatch)
        port = server.url.rpartition(":")[2]
        transport = transport_to(f"http://other-inner.example:{port}/directory")

        assert 404 == transport.send("POST", f"http://inner.example:{port}/", b"{}").status

    @pytest.mark.parametrize(
        ("home", "host", "permitted"),
        [
            ("ca.example", "169.254.169.254", False),
            ("ca.example", "::1", False),
            ("ca.example", "93.184.216.34", True),
            ("ca.example", "inner.example", True),
            ("10.0.0.7", "10.0.0.8", True),
            ("93.184.216.34", "10.0.0.8", False),
        ],
    )
    def test_behind_a_proxy_an_address_in_place_of_a_name_is_checked(
        self, home: str, host: str, permitted: bool
    ) -> None:
        """
        The proxy resolves names, so only addresses are known here.
        """
        if permitted:
            Reach(home).check_behind_proxy(host)
            return
        with pytest.raises(PrivateAddress):
            Reach(home).check_behind_proxy(host)

    def test_a_request_through_a_proxy_is_checked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The proxy is not asked to connect there.
        """
        with connect_proxy() as (url, asked):
            monkeypatch.setenv("HTTPS_PROXY", url)
            with pytest.raises(NotAcme, match=r"169\.254\.169\.254 is a private address"):
                transport_to("https://ca.example/").send("GET", "https://169.254.169.254/latest")

        assert [] == asked


def at_this_machine(real: Callable[..., object], host: str, *given: object, **more: object) -> object:
    """
    Resolve `pebble` to the loopback interface, and each other name as usual.
    """
    return real("127.0.0.1" if host == "pebble" else host, *given, **more)


def public_and_private(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Let `ca.example` have an address of the Internet, and each other name that of this machine.
    """

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        address = "93.184.216.34" if host == "ca.example" else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@contextmanager
def connect_proxy() -> Iterator[tuple[str, list[str]]]:
    """
    A proxy for TLS, for which every host is this machine: its URL, and where it was asked to connect to.
    """
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode().split()[1])
            while self.rfile.readline().strip():
                pass
            _, _, port = asked[-1].partition(":")
            with socket.create_connection(("127.0.0.1", int(port))) as target:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_copy, args=(target, self.connection), daemon=True)
                back.start()
                _copy(self.connection, target)

    server = TcpServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # the other direction has ended, and closed both
        while data := source.recv(1 << 14):
            target.sendall(data)
