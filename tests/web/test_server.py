"""
Tests of the server of the page: it loads the application late, and bounds its clients.
"""

from __future__ import annotations

import re
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from redis import Redis

from certworker.http import throttle
from certworker.settings import HttpAddress, Settings, load
from certworker.validity import now_in_utc
from certworker.web.cpu_share import CpuShare
from certworker.web.server import (
    BOUNDS,
    SWITCH_SECONDS,
    WebServer,
    is_installed,
    log_address,
    session_key,
    tokens_of,
    url_of,
    web_server,
)
from tests.servers.trickle import trickling
from tests.servers.worker import wait_until

LOOPBACK = HttpAddress("127.0.0.1", 0)


def settings_in(directory: Path, **variables: str) -> Settings:
    """
    Return the settings of an installation in *directory*.
    """
    return load(
        {
            "CERTWORKER_CERTIFICATES_DIR": str(directory),
            "CERTWORKER_CONFIG_DIR": str(directory / "config"),
            **variables,
        }
    )


def echo(request: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """
    Answer with the path of the request.
    """
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(request["PATH_INFO"]).encode()]


@contextmanager
def started(server: WebServer) -> Iterator[WebServer]:
    """
    Run *server* during the block.
    """
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server: WebServer, path: str, **headers: str) -> tuple[HTTPResponse, str]:
    """
    Return the answer to a request for *path*, and its body.
    """
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(
        "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response, body


class TestLoading:
    def test_the_application_is_loaded_once_with_the_first_request(self) -> None:
        """
        The server listens without the application, which the first request loads.
        """
        loaded = []

        def load_once(_stack: ExitStack) -> Any:
            loaded.append(1)
            return echo

        with started(WebServer(LOOPBACK, load_once)) as server:
            assert [] == loaded
            assert ["/a", "/b"] == [get(server, path)[1] for path in ("/a", "/b")]
        assert [1] == loaded

    def test_a_failed_load_is_a_503_and_is_tried_again(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        An application that cannot be loaded is logged with its reason, and the next request loads it again.
        """
        outcomes = [ImportError("no module"), None]

        def load_later(_stack: ExitStack) -> Any:
            if error := outcomes.pop(0):
                raise error
            return echo

        with started(WebServer(LOOPBACK, load_later)) as server:
            response, body = get(server, "/a")
            assert (503, "nosniff") == (response.status, response.getheader("X-Content-Type-Options"))
            assert "The log has the reason" in body
            assert "/a" == get(server, "/a")[1]
        assert "no module" in caplog.text

    def test_a_busy_page_waits_or_is_unavailable(self) -> None:
        """
        A page that has used its share of the processor refuses requests for a while.
        """
        share = CpuShare()
        with started(WebServer(LOOPBACK, lambda _: echo, share=share)) as server:
            assert 200 == get(server, "/a")[0].status
            share.spend(1000)
            response, body = get(server, "/a")

        assert (503, "5") == (response.status, response.getheader("Retry-After"))
        assert "the jobs come first" in body

    def test_a_refused_head_has_no_body(self) -> None:
        """
        The response to HEAD has no body, which the next response of the connection would begin with.
        """
        share = CpuShare()
        share.spend(1000)
        with (
            started(WebServer(LOOPBACK, lambda _: echo, share=share)) as server,
            socket.create_connection(("127.0.0.1", server.port), timeout=60) as client,
        ):
            client.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := client.recv(1 << 16):
                answer += piece

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"\r\n\r\n")

    def test_the_extra_is_installed_for_the_tests(self) -> None:
        """
        The packages of the page are installed.
        """
        assert is_installed()


class TestBounds:
    def test_slow_clients_block_no_other(self) -> None:
        """
        Clients that send their requests byte by byte fill the server, and the next one is answered.
        """
        with (
            started(WebServer(LOOPBACK, lambda _: echo)) as server,
            trickling("127.0.0.1", server.port, BOUNDS.connections + 50),
        ):
            assert ["/a"] * 3 == [get(server, "/a")[1] for _ in range(3)]

    def test_requests_that_wait_for_a_thread_block_no_new_client(self) -> None:
        """
        More requests than the server has places wait for a thread. A new client still gets its response.
        """
        released = Event()

        def slow(request: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
            assert released.wait(60)
            return echo(request, start_response)

        with started(WebServer(LOOPBACK, lambda _: slow)) as server, ExitStack() as stack:
            for _ in range(BOUNDS.connections + BOUNDS.threads):
                other = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
                other.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)

            def requesting() -> list[int]:
                # The ports of the clients whose requests the server has read.
                channels = list(server._listener._server.active_channels.values())
                return [each.addr[1] for each in channels if each.requests]

            wait_until(lambda: len(requesting()) >= BOUNDS.connections or None, lambda: "not full")
            visitor = HTTPConnection("127.0.0.1", server.port, timeout=60)
            visitor.request("GET", "/visitor")
            assert visitor.sock is not None
            port = visitor.sock.getsockname()[1]
            wait_until(lambda: port in requesting() or None, lambda: "the visitor is disconnected")
            released.set()

            assert b"/visitor" == visitor.getresponse().read()
            visitor.close()

    def test_many_pipelined_requests_end_with_the_first(self) -> None:
        """
        A connection with many requests at once gets one response, and does not occupy the server.
        """
        with (
            started(WebServer(LOOPBACK, lambda _: echo)) as server,
            socket.create_connection(("127.0.0.1", server.port), timeout=60) as client,
        ):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            answer = b""
            with suppress(ConnectionResetError):
                while piece := client.recv(1 << 16):
                    answer += piece

        assert 1 == answer.count(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {BOUNDS.longest_body + 1}\r\n\r\n", 413),
            (f"GET / HTTP/1.1\r\nHost: x\r\nX: {'x' * BOUNDS.longest_header}\r\n\r\n", 431),
            ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xyz\r\n\r\n", 501),
            ("\x00\r\n\r\n", 400),
        ],
    )
    def test_a_request_has_a_limited_size(self, sent: str, status: int) -> None:
        """
        A large or malformed request is refused, with the headers of every answer.
        """
        with (
            started(WebServer(LOOPBACK, lambda _: echo)) as server,
            socket.create_connection(("127.0.0.1", server.port), timeout=60) as client,
        ):
            client.sendall(sent.encode())
            answer = b""
            # The server closes the connection before it reads all of a large request.
            with suppress(ConnectionResetError):
                while piece := client.recv(1 << 16):
                    answer += piece

        assert answer.startswith((f"HTTP/1.1 {status} ".encode(), f"HTTP/1.0 {status} ".encode()))
        assert b"X-Content-Type-Options: nosniff" in answer
        assert b"Server:" not in answer

    def test_a_request_that_is_not_complete_in_time_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A client that stops in the middle of its request is closed.
        """
        seconds = [0.0]
        monkeypatch.setattr(throttle, "monotonic", lambda: seconds[0])
        with (
            started(WebServer(LOOPBACK, lambda _: echo)) as server,
            socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as client,
        ):
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")

            def closed() -> bool | None:
                seconds[0] += 1
                try:
                    return client.recv(1) == b"" or None
                except TimeoutError:
                    return None
                except ConnectionError:
                    return True

            wait_until(closed, lambda: "still open")


class TestInstallation:
    def test_the_page_of_this_machine_is_open_for_reading(self, tmp_path: Path, connection: Redis) -> None:
        """
        On loopback without tokens, the overview answers this machine, and no rebound name.
        """
        with started(web_server(settings_in(tmp_path), connection, LOOPBACK)) as server:
            overview, text = get(server, "/")
            foreign, _ = get(server, "/", Host="attacker.example")
            proxied, _ = get(server, "/", X_Forwarded_For="192.0.2.1")

            elsewhere, _ = get(server, "//attacker.example/..")

        assert 200 == overview.status
        assert "<title>" in text
        assert not str(elsewhere.getheader("Location", "")).startswith("//")
        assert [303, 303] == [foreign.status, proxied.status]

    def test_beside_jobs_the_threads_change_more_often(self, tmp_path: Path, connection: Redis) -> None:
        """
        A page in use makes Python change between threads more often, so that jobs wait less.
        """
        before = sys.getswitchinterval()
        settings = settings_in(tmp_path)
        try:
            with started(web_server(settings, connection, LOOPBACK, share=CpuShare())) as server:
                assert before == sys.getswitchinterval()
                assert 200 == get(server, "/")[0].status

                assert SWITCH_SECONDS == pytest.approx(sys.getswitchinterval())
        finally:
            sys.setswitchinterval(before)

    def test_a_base_path_is_in_each_link(self, tmp_path: Path, connection: Redis) -> None:
        """
        Behind a proxy with a base path, each link and redirect has it.
        """
        settings = settings_in(tmp_path, CERTWORKER_WEB_PATH="/certs")
        with started(web_server(settings, connection, LOOPBACK)) as server:
            _, text = get(server, "/certs/")
            login, _ = get(server, "/certs/names", X_Forwarded_For="192.0.2.1")
            spoofed = [get(server, path, Host="attacker.example")[0] for path in ("/certs", "/certs//queue")]

        assert 'href="/certs/names"' in text
        assert "/certs/login?next=/names" == login.getheader("Location")
        assert ["/certs/", "/certs/queue/"] == [each.getheader("Location") for each in spoofed]

    def test_with_a_tokens_file_each_request_needs_a_token(self, tmp_path: Path, connection: Redis) -> None:
        """
        A configured file that is missing or empty grants no access, also on loopback.
        """
        settings = settings_in(tmp_path, CERTWORKER_TOKENS_FILE=str(tmp_path / "tokens.yml"))
        with started(web_server(settings, connection, LOOPBACK)) as server:
            assert 303 == get(server, "/")[0].status
            token = tokens_of(settings).create("read", None, now_in_utc)
            assert 200 == get(server, "/", Authorization=f"Bearer {token}")[0].status


class TestFirstToken:
    PUBLIC = HttpAddress("0.0.0.0", 8082)

    def test_the_first_token_is_logged_once_and_only_its_hash_is_stored(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        On another address than loopback, the log has a token of the role admin, once.
        """
        settings = settings_in(tmp_path)
        with caplog.at_level("INFO"):
            log_address(settings, self.PUBLIC)
            log_address(settings, self.PUBLIC)
        first, second = caplog.messages
        token = first.rpartition(" ")[2]
        path = tokens_of(settings).path

        assert "the page is at http://127.0.0.1:8082/login; the first token" in first
        assert "the page is at http://127.0.0.1:8082/" == second
        found = tokens_of(settings).find(token)
        assert found is not None
        assert "admin" == found.role
        assert token not in path.read_text()
        assert (0o600, 0o700) == (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode))

    @pytest.mark.parametrize("reason", ["loopback", "configured"])
    def test_without_need_no_token_is_made(self, tmp_path: Path, reason: str) -> None:
        """
        No token is made on loopback, nor if a tokens file is configured.
        """
        configured = {"CERTWORKER_TOKENS_FILE": str(tmp_path / "x")} if reason == "configured" else {}
        settings = settings_in(tmp_path, **configured)
        log_address(settings, LOOPBACK if reason == "loopback" else self.PUBLIC)

        assert tokens_of(settings).is_missing()

    def test_a_volume_that_is_read_only_is_logged(
        self, forbidden: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Without a writable directory there is no token, and the log has the reason instead of it.
        """
        log_address(settings_in(forbidden), self.PUBLIC)

        assert "the first token cannot be stored" in caplog.text
        assert "cw_" not in caplog.text


class TestAddresses:
    def test_the_url_is_one_that_this_machine_can_open(self) -> None:
        """
        The URL of an unspecified address names the loopback address.
        """
        assert "http://127.0.0.1:8082/" == url_of(HttpAddress("0.0.0.0", 8082), "")
        assert "http://[::1]:8082/certs/" == url_of(HttpAddress("::", 8082), "/certs")


class TestSessionKey:
    def test_the_key_survives_a_restart(self, tmp_path: Path) -> None:
        """
        Two servers of a volume, and a server after its restart, use one key that only its owner may read.
        """
        path = tmp_path / "web" / "session.key"

        assert session_key(path) == session_key(path)
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)

    def test_processes_that_start_together_use_one_key(self, tmp_path: Path) -> None:
        """
        A session of one process is valid at another one that has started at the same time.
        """
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(lambda _: session_key(tmp_path / "web" / "session.key"), range(8)))

        assert {session_key(tmp_path / "web" / "session.key")} == keys

    @pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64, b"x" * 1000])
    def test_an_unusable_key_is_replaced(self, tmp_path: Path, content: bytes) -> None:
        """
        A damaged file does not weaken the signatures.
        """
        path = tmp_path / "session.key"
        path.write_bytes(content)
        key = session_key(path)

        assert re.fullmatch("[0-9a-f]{64}", key)
        assert key == session_key(path)

    def test_without_a_writable_directory_each_start_has_its_key(self, forbidden: Path) -> None:
        """
        A read-only volume ends the sessions at each start, and nothing else.
        """
        assert session_key(forbidden / "key") != session_key(forbidden / "key")
