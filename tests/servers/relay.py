"""
An additional address for a name server that listens only at the addresses of network interfaces.

BIND does not listen at 127.0.0.2, because no interface has this address. A relay listens there and forwards
each message.
"""

from __future__ import annotations

import socket
import socketserver
from contextlib import suppress
from threading import Thread

from tests.servers.listening import TcpServer

#: The highest response time of a server of the tests.
PATIENCE_SECONDS = 60.0


class Relay:
    """
    A relay that forwards messages to *address* over UDP and TCP to *target*, and returns the answers.
    """

    def __init__(self, address: tuple[str, int], target: tuple[str, int]) -> None:
        self._servers = (_Tcp(address, _TcpHandler), _Udp(address, _UdpHandler))
        for server in self._servers:
            server.target = target
            Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """
        Close both ports.
        """
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Tcp(TcpServer):
    allow_reuse_address = True
    target: tuple[str, int]


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True
    target: tuple[str, int]


class _TcpHandler(socketserver.BaseRequestHandler):
    server: _Tcp

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(self.server.target, PATIENCE_SECONDS) as target:
            Thread(target=_copy, args=(self.request, target), daemon=True).start()
            _copy(target, self.request)


class _UdpHandler(socketserver.BaseRequestHandler):
    server: _Udp

    def handle(self) -> None:
        question, back = self.request
        with suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as target:
            target.settimeout(PATIENCE_SECONDS)
            target.connect(self.server.target)
            target.send(question)
            back.sendto(target.recv(65_535), self.client_address)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65_536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
