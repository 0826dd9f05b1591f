"""
The HTTP server of the CA: connections, headers, threads.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from certworker.devca.messages import Reply, Request

logger = logging.getLogger(__name__)

#: Bytes. Requests from ACME clients are shorter.
LONGEST_BODY = 1_000_000


class Server(ThreadingHTTPServer):
    """
    A server with a thread for each connection. Connections are persistent, as with a public CA.
    """

    daemon_threads = True
    block_on_close = False
    #: The maximum number of connections that wait to be accepted. Many clients may connect at the same time.
    request_queue_size = 256

    def __init__(self, host: str, port: int, answer: Callable[[Request], Reply | None]) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__((host, port), Handler)
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def server_activate(self) -> None:
        """
        Listen with a non-blocking socket: a client may close its connection before accept(2) returns it.
        """
        super().server_activate()
        self.socket.setblocking(False)

    def end(self) -> None:
        """
        Stop the server, and close every connection, even idle ones.
        """
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # The client has closed it.
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """
        Record the connection, then serve it.
        """
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """
        Close the connection, and remove it from the list.
        """
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """
        Log the error of a connection at level debug.
        """
        logger.debug("a connection failed", exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """
    A connection.
    """

    protocol_version = "HTTP/1.1"
    server_version = "certworker"
    disable_nagle_algorithm = True
    #: One write per reply.
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        """
        Serve the directory, the terms, a nonce, or renewal information.
        """
        self._serve(b"")

    def do_HEAD(self) -> None:
        """
        Serve the headers for a GET request; clients get a nonce this way.
        """
        self._serve(b"")

    def do_POST(self) -> None:
        """
        Serve a signed request; refuse a body of unknown length, and one that is too long.
        """
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            self.close_connection = True
            self.send_error(411)
            return
        self._serve(self.rfile.read(int(length)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the standard library's name)
        """
        Write the access log at level debug.
        """
        logger.debug(format, *args)

    def _serve(self, body: bytes) -> None:
        host = self.headers.get("Host") or "{}:{}".format(*self.server.server_address[:2])
        content_type = self.headers.get("Content-Type", "")
        reply = self.server.answer(Request(self.command, f"http://{host}", self.path, content_type, body))
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()
