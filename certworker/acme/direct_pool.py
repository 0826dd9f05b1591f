"""
Connections to a CA without a proxy, which stay open.

urllib3 needs a third of a millisecond for each request, in addition to the work of the standard library. So
only requests through a proxy use it.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from http.client import HTTPException
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit

from urllib3.exceptions import ProtocolError, ReadTimeoutError, SSLError

from certworker.acme.http_message import Message, read, request
from certworker.acme.reach import AllowedHosts, connect

PORTS = {"http": 80, "https": 443}

#: The maximum number of hosts with open connections. A CA has one or two.
MOST_ORIGINS = 4


class Origin(NamedTuple):
    """
    A scheme, a host and a port.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """
        Return the origin of *url*, with its host in ASCII.

        Raises:
            UnicodeError: The host is invalid.
        """
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        return cls(parts.scheme, host, parts.port or PORTS[parts.scheme])

    @property
    def authority(self) -> str:
        """
        Return the value of the Host header.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


class DirectPool:
    """
    Open connections for any number of threads, each of which uses one at a time.

    Args:
        context: The TLS context.
        headers: The headers of each request.
        connections: The number of connections to each host that stay open.
        allowed: The hosts that requests may go to.
    """

    def __init__(
        self, context: ssl.SSLContext, headers: Mapping[str, str], connections: int, allowed: AllowedHosts
    ) -> None:
        self._context = context
        self._headers = headers
        self._connections = connections
        self._allowed = allowed
        self._lock = Lock()
        self._idle: dict[Origin, deque[socket.socket]] = {}

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, most_bytes: int
    ) -> Message:
        """
        Send a request, and return the response. Stop to read its body after *most_bytes* bytes.

        The caller sets the deadline of the exchange.

        Raises:
            urllib3.exceptions.HTTPError: There is no valid response in time.
            PrivateAddress: The CA may not refer to this host.
            UnicodeError: The host is invalid.
        """
        origin = Origin.of(url)
        content = request(method, url, {"Host": origin.authority, **self._headers, **headers}, body)
        try:
            connection = self._taken(origin) or self._opened(origin)
            try:
                connection.sendall(content)
                with connection.makefile("rb") as stream:
                    message = read(stream, method, most_bytes)
            except BaseException:
                connection.close()
                raise
        except TimeoutError as error:
            raise ReadTimeoutError(None, url, str(error)) from error  # type: ignore[arg-type]  # it only shows it
        except ssl.SSLError as error:
            raise SSLError(error) from error
        except (OSError, HTTPException) as error:
            raise ProtocolError("Connection aborted.", error) from error
        if message.is_reusable:
            self._keep(origin, connection)
        else:
            connection.close()
        return message

    def _opened(self, origin: Origin) -> socket.socket:
        connection = connect(origin.host, origin.port, self._allowed)
        if origin.scheme != "https":
            return connection
        try:
            return self._context.wrap_socket(connection, server_hostname=origin.host.rstrip("."))
        except BaseException:
            connection.close()
            raise

    def _taken(self, origin: Origin) -> socket.socket | None:
        while idle := self._idle.get(origin):
            try:
                connection = idle.pop()
            except IndexError:
                return None
            if not _has_ended(connection):
                return connection
            connection.close()
        return None

    def _keep(self, origin: Origin, connection: socket.socket) -> None:
        with self._lock:
            idle = self._idle.setdefault(origin, deque())
            closed = [connection] if len(idle) >= self._connections else []
            if not closed:
                idle.append(connection)
            if len(self._idle) > MOST_ORIGINS:
                closed += self._idle.pop(next(iter(self._idle)))
        for each in closed:
            each.close()


def _has_ended(connection: socket.socket) -> bool:
    # Without a request, a server sends only the end of the connection.
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
