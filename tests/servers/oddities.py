"""
A server with any response of a test, including responses that no CA sends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.servers.listening import HttpServer


@dataclass(frozen=True)
class Oddity:
    """
    One response.
    """

    body: bytes = b"{}"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    #: The delay of the response.
    delay_seconds: float = 0.0


@dataclass
class OddServer:
    """
    The responses by path, or by method and path (`HEAD /nonce`), and the number of connections.
    """

    url: str = ""
    answers: dict[str, Oddity] = field(default_factory=dict)
    connections: int = 0
    #: The headers of each request, oldest first.
    requests: list[Mapping[str, str]] = field(default_factory=list)


@contextmanager
def odd_server() -> Iterator[OddServer]:
    """
    Start a server with these responses on a free port.
    """
    state = OddServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            state.connections += 1

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            state.requests.append(dict(self.headers))
            usual = state.answers.get(self.path, Oddity(status=404))
            answer = state.answers.get(f"{self.command} {self.path}", usual)
            time.sleep(answer.delay_seconds)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_POST = do_HEAD = do_GET  # noqa: N815 (the names of http.server)

        def log_message(self, *arguments: object) -> None:
            pass

    server = HttpServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()
