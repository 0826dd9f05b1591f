"""
An HTTP proxy for CAs that fetch answers from port 80 and ask the system's resolver only.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from tests.servers.web import WebServer, response

PATIENCE_SECONDS = 10


class Relay(WebServer):
    """
    Passes each request on to the address of its host: that in *addresses*, else 127.0.0.1.

    Where nothing listens, or the name does not exist, it closes the connection without an answer.

    Args:
        addresses: Name → IPv4 address.
        port: The port of all these hosts.
    """

    def __init__(self, addresses: Mapping[str, str], port: int) -> None:
        super().__init__(self._pass_on)
        self._addresses = addresses
        self._hosts_port = port

    @property
    def url(self) -> str:
        """
        Where it listens.
        """
        return f"http://127.0.0.1:{self.port}"

    def _pass_on(self, url: str, _visitor: socket.socket) -> bytes:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if host.startswith("nxdomain."):
            return b""
        address = host if host.startswith("127.") else self._addresses.get(host, "127.0.0.1")
        connection = http.client.HTTPConnection(address, self._hosts_port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", parts.path, headers={"Host": parts.netloc})
            answer = connection.getresponse()
            return response(answer.status, answer.read())
        except OSError:
            return b""
        finally:
            connection.close()
