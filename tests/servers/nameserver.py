"""
A name server on the loopback interface.

Each name has the address 127.0.0.1, unless its first label or a test sets another answer.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Mapping
from functools import partial
from ipaddress import ip_address
from typing import Any

from tests.servers.listening import TcpServer
from tests.servers.ports import free_port

A = 1
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3

#: The code of the answer by the first label of a name.
CODES = {b"servfail": SERVER_FAILURE, b"nxdomain": NO_SUCH_NAME}


class NameServer:
    """
    A name server over UDP and TCP (RFC 1035), on one port, in threads of the test run.

    Attributes:
        addresses: The IPv4 address of each name that is not at 127.0.0.1.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._tcp = TcpServer(("127.0.0.1", free_port()), partial(_TcpHandler, self.addresses))
        self._udp = socketserver.ThreadingUDPServer(
            self._tcp.server_address[:2], partial(_UdpHandler, self.addresses)
        )
        for server in (self._tcp, self._udp):
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        """
        The address at which the server listens, as HOST:PORT.
        """
        return f"127.0.0.1:{self._tcp.server_address[1]}"

    def stop(self) -> None:
        """
        Stop the server.
        """
        for server in (self._tcp, self._udp):
            server.shutdown()
            server.server_close()


class _UdpHandler(socketserver.BaseRequestHandler):
    def __init__(self, addresses: Mapping[str, str], *arguments: Any) -> None:
        self._addresses = addresses
        super().__init__(*arguments)

    def handle(self) -> None:
        query, connection = self.request
        connection.sendto(_answer(query, self._addresses), self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    def __init__(self, addresses: Mapping[str, str], *arguments: Any) -> None:
        self._addresses = addresses
        super().__init__(*arguments)

    def handle(self) -> None:
        # The length of each message precedes it (section 4.2.2).
        while length := self.rfile.read(2):
            answer = _answer(self.rfile.read(struct.unpack("!H", length)[0]), self._addresses)
            self.wfile.write(struct.pack("!H", len(answer)) + answer)


def _answer(query: bytes, addresses: Mapping[str, str]) -> bytes:
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    labels = _labels(question)
    code = CODES.get(labels[0], NO_ERROR)
    found = code == NO_ERROR and struct.unpack("!H", question[-4:-2])[0] == A
    # A response, with recursion desired and available, one question, and at most one answer.
    header = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, int(found), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, A, 1, 0, 4)
    address = ip_address(addresses.get(b".".join(labels).decode("latin-1"), "127.0.0.1"))
    return header + question + (record + address.packed if found else b"")


def _labels(question: bytes) -> list[bytes]:
    labels, position = [], 0
    while length := question[position]:
        labels.append(question[position + 1 : position + 1 + length].lower())
        position += 1 + length
    return labels or [b""]
