"""
Servers that stop reliably.
"""

from __future__ import annotations

import socketserver
from http.server import ThreadingHTTPServer


class Listening(socketserver.TCPServer):
    """
    A TCP server whose accept call does not block. A connection may end before the server accepts it
    (accept(2), notes). A blocked server would not receive the request to stop.
    """

    def server_activate(self) -> None:
        """
        Start listening.
        """
        super().server_activate()
        self.socket.setblocking(False)


class TcpServer(Listening, socketserver.ThreadingTCPServer):
    """
    A TCP server with a thread for each connection.
    """

    daemon_threads = True


class HttpServer(Listening, ThreadingHTTPServer):
    """
    An HTTP server with a thread for each connection.
    """
