"""
An HTTP proxy for CAs that fetch responses only from port 80 and use only the system's resolver.
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
    A relay that forwards each request to the address of its host in *addresses*, otherwise to 127.0.0.1.

    Without a server or a name, it closes the connection without a response.

    Args:
        addresses: The IPv4 address of each name.
        port: The port of all these hosts.
    """

    def __init__(self, addresses: Mapping[str, str], port: int) -> None:
        super().__init__(self._pass_on)
        self._addresses = addresses
        self._hosts_port = port

    @property
    def url(self) -> str:
        """
        The URL of the relay.
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
