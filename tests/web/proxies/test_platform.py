"""
Tests of the calls of the platform, whose responses are not trusted.
"""

from __future__ import annotations

import socket
from threading import Barrier, Event, Thread

import pytest

from certworker.ttl_cache import TtlCache
from certworker.web.proxies import platform
from certworker.web.proxies.platform import MOST_CALLS, Platform, PlatformUnavailable
from tests.servers.ports import free_port
from tests.servers.web import WebServer, always, response, sends

NAME = "new.example.org"


class TestPlatform:
    @pytest.mark.parametrize(
        ("status", "is_allowed"), [(200, True), (204, False), (302, False), (404, False), (401, False)]
    )
    def test_only_status_200_allows_a_name(self, status: int, is_allowed: bool) -> None:
        """
        Any other status allows nothing, and a redirect is not followed.
        """
        with WebServer(always(status, b"x", Location="http://127.0.0.1:1/")) as server:
            found = Platform().allows(f"http://127.0.0.1:{server.port}/names/allowed?key=1&x=%20", NAME)

            assert (is_allowed, 1) == (found, len(server.requests))
            assert server.requests[0].endswith(f"/names/allowed?key=1&x=%20&domain={NAME}")

    def test_the_result_is_remembered_for_a_while(self) -> None:
        """
        A repeated question is answered from memory until the result is too old.
        """
        clock = [0.0]
        with WebServer(always(200)) as server:
            platform_ = Platform(TtlCache(lambda: clock[0]))
            url = f"http://127.0.0.1:{server.port}"
            for moment in (0.0, 59.0, 61.0):
                clock[0] = moment
                assert platform_.allows(url, NAME)

            assert 2 == len(server.requests)

    @pytest.mark.parametrize(
        "answer",
        [b"", b"no HTTP\r\n\r\n", response(500), response(503), b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000],
    )
    def test_an_invalid_response_decides_nothing(self, answer: bytes) -> None:
        """
        A broken, an endless or a failing response is no decision, and is not remembered.
        """
        with WebServer(sends(answer)) as server:
            platform_, url = Platform(), f"http://127.0.0.1:{server.port}/"
            for _ in range(2):
                with pytest.raises(PlatformUnavailable):
                    platform_.allows(url, NAME)

            assert 2 == len(server.requests)

    def test_nothing_listens(self) -> None:
        """
        A platform that is not there decides nothing.
        """
        with pytest.raises(PlatformUnavailable, match="does not respond"):
            Platform().allows(f"http://127.0.0.1:{free_port()}/", NAME)

    def test_a_large_body_is_not_read(self) -> None:
        """
        The status decides. A body without an end does not matter.
        """

        def respond(_path: str, connection: socket.socket) -> bytes:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx")
            return b"x"

        with WebServer(respond) as server:
            assert Platform().allows(f"http://127.0.0.1:{server.port}/", NAME)

    def test_few_calls_wait_at_the_same_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A slow platform occupies only some threads, and handshakes of known names continue.
        """
        monkeypatch.setattr(platform, "LONGEST_SECONDS", 60.0)
        inside, end = Barrier(MOST_CALLS + 1), Event()

        def respond(_path: str, _connection: object) -> bytes:
            inside.wait(60)
            end.wait(60)
            return response(200)

        with WebServer(respond) as server:
            platform_, url = Platform(), f"http://127.0.0.1:{server.port}/"
            threads = [
                Thread(target=platform_.allows, args=(url, f"n{number}.example.org"))
                for number in range(MOST_CALLS)
            ]
            for thread in threads:
                thread.start()
            inside.wait(60)
            with pytest.raises(PlatformUnavailable, match="Too many calls"):
                platform_.allows(url, NAME)
            end.set()
            for thread in threads:
                thread.join()

    def test_a_slow_platform_has_a_deadline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A platform that accepts and never responds decides nothing.
        """
        monkeypatch.setattr(platform, "LONGEST_SECONDS", 0.2)
        end = Event()

        def respond(_path: str, _connection: object) -> bytes:
            end.wait(60)
            return b""

        with WebServer(respond) as server, pytest.raises(PlatformUnavailable):
            Platform().allows(f"http://127.0.0.1:{server.port}/", NAME)
        end.set()
