"""
Servers that can always be ended.
"""

from __future__ import annotations

import socketserver
from http.server import ThreadingHTTPServer


class Listening(socketserver.TCPServer):
    """
    A connection may be gone between the moment it is seen and the one it is accepted (accept(2), notes); who
    waits for the next one then never hears that it is to end.
    """

    def server_activate(self) -> None:
        """
        Listen.
        """
        super().server_activate()
        self.socket.setblocking(False)


class TcpServer(Listening, socketserver.ThreadingTCPServer):
    """
    A thread for each connection.
    """

    daemon_threads = True


class HttpServer(Listening, ThreadingHTTPServer):
    """
    The same, for HTTP.
    """
