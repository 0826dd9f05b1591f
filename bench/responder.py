"""
The web server of the floor client, which serves only challenge responses.
"""

from __future__ import annotations

import socketserver
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

#: The number of network perspectives from which Pebble validates.
PERSPECTIVES = 3


@dataclass
class Presented:
    """
    A response, and the number of requests for it.
    """

    body: bytes
    looks: int = 0
    fetched: threading.Event = field(default_factory=threading.Event)


class Responder:
    """
    A server for HTTP-01 on *port* of the loopback interface.
    """

    def __init__(self, port: int) -> None:
        self._answers: dict[str, Presented] = {}
        responder = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                responder._answer(self)

        class Server(socketserver.TCPServer):
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", port), Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def present(self, token: str, key_authorization: str) -> threading.Event:
        """
        Serve *key_authorization* for *token*.

        The returned event is set after the CA has fetched the response from each perspective.
        """
        presented = self._answers[token] = Presented(key_authorization.encode())
        return presented.fetched

    def _answer(self, request: socketserver.StreamRequestHandler) -> None:
        line = request.rfile.readline(1024).split()
        token = line[1].decode().rpartition("/")[2] if len(line) > 1 else ""
        presented = self._answers[token]
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(presented.body)}\r\nConnection: close\r\n\r\n"
        request.wfile.write(head.encode() + presented.body)
        presented.looks += 1
        if presented.looks == PERSPECTIVES:
            del self._answers[token]
            presented.fetched.set()
