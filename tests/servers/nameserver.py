"""
A name server on the loopback interface: each name is 127.0.0.1, unless its first label says otherwise.
"""

from __future__ import annotations

import socketserver
import struct
import threading

from tests.servers.listening import TcpServer
from tests.servers.ports import free_port

A = 1
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3

#: What the first label of a name makes of the answer.
CODES = {b"servfail": SERVER_FAILURE, b"nxdomain": NO_SUCH_NAME}


class NameServer:
    """
    Answers over UDP and TCP (RFC 1035), on one port, in threads of the test run.
    """

    def __init__(self) -> None:
        self._tcp = TcpServer(("127.0.0.1", free_port()), _TcpHandler)
        self._udp = socketserver.ThreadingUDPServer(self._tcp.server_address[:2], _UdpHandler)
        for server in (self._tcp, self._udp):
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        """
        Where it listens, as HOST:PORT.
        """
        return f"127.0.0.1:{self._tcp.server_address[1]}"

    def stop(self) -> None:
        """
        Answer no more.
        """
        for server in (self._tcp, self._udp):
            server.shutdown()
            server.server_close()


class _UdpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        query, connection = self.request
        connection.sendto(_answer(query), self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        # Each message is preceded by its length (section 4.2.2).
        while length := self.rfile.read(2):
            answer = _answer(self.rfile.read(struct.unpack("!H", length)[0]))
            self.wfile.write(struct.pack("!H", len(answer)) + answer)


def _answer(query: bytes) -> bytes:
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    first_label = question[1 : 1 + question[0]].lower()
    code = CODES.get(first_label, NO_ERROR)
    found = code == NO_ERROR and struct.unpack("!H", question[-4:-2])[0] == A
    # Response, recursion desired and available; one question, perhaps one answer.
    header = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, int(found), 0, 0)
    address = struct.pack("!HHHIH", 0xC00C, A, 1, 60, 4) + bytes([127, 0, 0, 1])
    return header + question + (address if found else b"")
