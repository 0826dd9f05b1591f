"""
The same notices as JSON by HTTP POST, signed, for whoever has no use for mail.
"""

from __future__ import annotations

import hmac
import http.client
import json
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from certworker.reports.notice import Notice
from certworker.version import __version__

TIMEOUT_SECONDS = 10

#: GitHub's and others' form: the algorithm, an equals sign, the digest of the body in hexadecimal.
SIGNATURE = "X-Certworker-Signature"


class HookRefused(OSError):
    """
    The receiver did not take it, or may not be asked.
    """


@dataclass(frozen=True)
class Hook:
    """
    Posts to one URL.
    """

    url: str
    #: Signs the body (HMAC-SHA-256); without it there is no signature.
    secret: str | None
    #: Whether the URL may lead to an address of this network.
    private: bool

    def send(self, notices: Sequence[Notice]) -> None:
        """
        One request with all *notices*. Redirects are not followed.

        Raises:
            OSError: The receiver did not answer with 2xx, or has a private address that is not allowed.
        """
        target = urlsplit(self.url)
        body = json.dumps({"notices": [notice.as_json() for notice in notices]}).encode()
        headers = {"Content-Type": "application/json", "User-Agent": f"certworker/{__version__}"}
        if self.secret:
            digest = hmac.new(self.secret.encode(), body, "sha256").hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        connection = http.client.HTTPConnection(target.hostname or "", timeout=TIMEOUT_SECONDS)
        connection.sock = self._connected(target.hostname or "", target.port, target.scheme == "https")
        try:
            path = target._replace(scheme="", netloc="", fragment="").geturl() or "/"
            connection.request("POST", path, body, headers)
            status = connection.getresponse().status
        except http.client.HTTPException as error:
            raise HookRefused(f"no HTTP answer ({error!r})") from error
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise HookRefused(f"HTTP {status}")

    def _connected(self, host: str, port: int | None, secure: bool) -> socket.socket:
        port = port or (443 if secure else 80)
        # The address that was judged is the one that is connected to: a name could change its mind.
        address = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
        if not (self.private or ip_address(address).is_global):
            raise HookRefused(f"{host} has the private address {address}")
        connection = socket.create_connection((address, port), timeout=TIMEOUT_SECONDS)
        if not secure:
            return connection
        return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
