"""
Tests of the connections to a CA: their reuse, their verification and the proxy.
"""

from __future__ import annotations

import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from certworker.acme.direct_pool import DirectPool
from certworker.acme.http_pool import pool_for, public_context
from certworker.acme.transport import Transport
from certworker.devca.hierarchy import Signer
from certworker.errors.ca import CaUnreachable, NotAcme, TlsIntercepted
from tests.servers.listening import TcpServer
from tests.servers.oddities import Oddity, OddServer, odd_server
from tests.servers.pebble import Pebble


@pytest.fixture
def server() -> Iterator[OddServer]:
    """
    Run a server whose responses a test sets.
    """
    with odd_server() as started:
        yield started


def transport_to(url: str, ca_bundle: Path | None = None) -> Transport:
    """
    Return the transport of a worker with two slots.
    """
    return Transport(url, ca_bundle=ca_bundle, connections=2)


class TestSession:
    def test_all_requests_share_one_connection(self, server: OddServer) -> None:
        """
        All requests to a host share one connection. A new connection takes longer than the rest of an
        order.
        """
        server.answers["/"] = Oddity(b'{"a": 1}')
        server.answers["/empty"] = Oddity(b"")
        transport = transport_to(server.url)

        for path in ("/", "/empty", "/", "/missing", "/"):
            transport.send("POST", server.url + path, b"{}")
        transport.send("HEAD", server.url)
        transport.send("GET", server.url)

        assert 1 == server.connections

    def test_all_cas_share_the_parsed_roots(self, tmp_path: Path) -> None:
        """
        The roots of the system are parsed once for all CAs. A CA with roots of its own does not trust others.
        """
        bundle = tmp_path / "root.pem"
        bundle.write_bytes(Signer.root("A root", datetime.now(UTC)).pem)
        one, other = (pool_for(f"https://{name}.example.com", None, 2) for name in ("one", "other"))
        own = pool_for("https://own.example.com", bundle, 2)

        assert isinstance(one, DirectPool)
        assert isinstance(other, DirectPool)
        assert isinstance(own, DirectPool)
        assert one._context is other._context is public_context()
        assert 1 == len(own._context.get_ca_certs())

    def test_the_user_agent_names_certworker(self, server: OddServer) -> None:
        """
        The operator of a CA can identify the client by the User-Agent header (RFC 8555, section 6.1).
        """
        transport_to(server.url).send("POST", server.url, b"{}")

        assert server.requests[0]["User-Agent"].startswith("certworker/")
        assert "application/jose+json" == server.requests[0]["Content-Type"]
        assert "en" == server.requests[0]["Accept-Language"]

    def test_cookies_are_not_stored(self, server: OddServer) -> None:
        """
        Sixteen threads share the session, so no request sends a cookie from an earlier response.
        """
        server.answers["/"] = Oddity(headers={"Set-Cookie": "seen=1"})
        transport = transport_to(server.url)

        transport.send("GET", server.url)
        transport.send("GET", server.url)

        assert "Cookie" not in server.requests[1]


class TestTls:
    def test_the_bundle_is_trusted(self, pebble: Pebble) -> None:
        """
        The client trusts the roots of the configured bundle, such as the root of a private CA.
        """
        transport = transport_to(pebble.directory_url, pebble.ca_bundle)

        assert 200 == transport.send("GET", pebble.directory_url).status

    def test_the_bundle_wins_over_the_environment(
        self, pebble: Pebble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        REQUESTS_CA_BUNDLE does not replace the configured bundle.
        """
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
        transport = transport_to(pebble.directory_url, pebble.ca_bundle)

        assert 200 == transport.send("GET", pebble.directory_url).status

    def test_an_untrusted_certificate_is_refused(self, pebble: Pebble) -> None:
        """
        The failure names TLS interception as the cause, and the remedy is the CA bundle.
        """
        with pytest.raises(TlsIntercepted) as caught:
            transport_to(pebble.directory_url).send("GET", pebble.directory_url)

        assert "CERTWORKER_CA_BUNDLE=" in caught.value.remedy
        assert "certificate verify failed" in caught.value.message

    def test_a_certificate_for_another_name_is_refused(self, pebble: Pebble) -> None:
        """
        The shared TLS context also verifies the name in the certificate.
        """
        url = pebble.directory_url.replace("127.0.0.1", "127.0.0.2")
        other = transport_to(url, pebble.ca_bundle)

        with pytest.raises((TlsIntercepted, CaUnreachable)):
            other.send("GET", url)


class TestProxy:
    def test_the_proxy_of_the_environment_is_used(
        self, pebble: Pebble, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The client connects through the proxy of the environment, and TLS ends at the CA.
        """
        directory_url = pebble.directory_url.replace("127.0.0.1", "pebble")
        with connect_proxy() as (url, hosts):
            monkeypatch.setenv("HTTPS_PROXY", url)
            transport = transport_to(directory_url, pebble.ca_bundle)

            assert 200 == transport.send("GET", directory_url).status
            assert 200 == transport.send("GET", directory_url).status

        assert [directory_url.split("/")[2]] == hosts

    def test_a_host_in_no_proxy_is_connected_to_directly(
        self, pebble: Pebble, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The client connects directly to a host in NO_PROXY, such as a private CA.
        """
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "pebble")
        monkeypatch.setattr(socket, "getaddrinfo", partial(at_this_machine, socket.getaddrinfo))
        directory_url = pebble.directory_url.replace("127.0.0.1", "pebble")
        transport = transport_to(directory_url, pebble.ca_bundle)

        assert 200 == transport.send("GET", directory_url).status

    def test_the_loopback_interface_is_connected_to_directly(
        self, server: OddServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The client connects directly to the development CA. A proxy would connect to its own loopback
        interface.
        """
        server.answers["/"] = Oddity()
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.delenv("NO_PROXY", raising=False)

        assert 200 == transport_to(server.url).send("GET", server.url).status


class TestReach:
    def test_a_public_ca_leads_to_no_private_address(
        self, server: OddServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A URL from a public CA cannot lead to a host with a private address.
        """
        public_and_private(monkeypatch)
        port = server.url.rpartition(":")[2]
        transport = transport_to("http://ca.example/directory")

        with pytest.raises(NotAcme, match=r"inner\.example has the private address 127\.0\.0\.1"):
            transport.send("POST", f"http://inner.example:{port}/", b"{}")

        assert 0 == server.connections

    def test_a_private_ca_leads_to_private_addresses(
        self, server: OddServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A private CA may have several hosts with private addresses.
        """
        public_and_private(monkeypatch)
        port = server.url.rpartition(":")[2]
        transport = transport_to(f"http://other-inner.example:{port}/directory")

        assert 404 == transport.send("POST", f"http://inner.example:{port}/", b"{}").status

    def test_a_request_through_a_proxy_is_checked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The client refuses a private address before it connects to the proxy.
        """
        with connect_proxy() as (url, hosts):
            monkeypatch.setenv("HTTPS_PROXY", url)
            with pytest.raises(NotAcme, match=r"169\.254\.169\.254 is a private address"):
                transport_to("https://ca.example/").send("GET", "https://169.254.169.254/latest")

        assert [] == hosts


def at_this_machine(real: Callable[..., object], host: str, *given: object, **more: object) -> object:
    """
    Resolve `pebble` to the loopback interface, and each other name as usual.
    """
    return real("127.0.0.1" if host == "pebble" else host, *given, **more)


def public_and_private(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Resolve `ca.example` to a public address, and each other name to the loopback interface.
    """

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        address = "93.184.216.34" if host == "ca.example" else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@contextmanager
def connect_proxy() -> Iterator[tuple[str, list[str]]]:
    """
    Run a proxy for TLS that maps each host to this machine. Yield its URL and the hosts of its requests.
    """
    hosts: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            hosts.append(self.rfile.readline().decode().split()[1])
            while self.rfile.readline().strip():
                pass
            _, _, port = hosts[-1].partition(":")
            with socket.create_connection(("127.0.0.1", int(port))) as target:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_copy, args=(target, self.connection), daemon=True)
                back.start()
                _copy(self.connection, target)

    server = TcpServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", hosts
    server.shutdown()
    server.server_close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # The other direction has ended, and has closed both sockets.
        while data := source.recv(1 << 14):
            target.sendall(data)


class TestImport:
    def test_a_worker_without_a_proxy_does_not_import_requests(self) -> None:
        """
        Only a worker with a proxy needs `requests`. Its import takes memory, and time of the start.
        """
        program = "import sys; import certworker.cli.work; sys.exit('requests' in sys.modules)"

        assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
