"""
Persistent direct connections to a CA, without a proxy.

The standard library writes the requests and reads the responses. urllib3 would add a third of a millisecond
to each request, so it sends only the requests through a proxy.
"""

from __future__ import annotations

import select
import socket
import ssl
import zlib
from collections import deque
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, IncompleteRead
from threading import Lock
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from urllib3 import HTTPHeaderDict
from urllib3.exceptions import ProtocolError, ReadTimeoutError, SSLError

from certworker.acme.reach import AllowedHosts, connect
from certworker.hosts import WEB_PORTS, Origin

#: The maximum number of hosts with idle connections. A CA has one or two hosts.
MOST_ORIGINS = 4

#: Besides letters, digits, `_`, `.` and `-`, these characters of a target are not escaped (RFC 3986).
SAFE_CHARACTERS = "/%:@!$&'()*+,;=~?"

#: The methods of requests that may be sent twice (RFC 9110, section 9.2.2). A second POST could order twice.
IDEMPOTENT = ("GET", "HEAD")

#: The value of `wbits` with which zlib recognizes the formats of both gzip and deflate.
_ANY_FORMAT = zlib.MAX_WBITS | 32


class Message(NamedTuple):
    """
    A response.
    """

    status: int
    #: The names are case-insensitive. A comma joins the values of repeated headers.
    headers: Mapping[str, str]
    #: The decoded body; a part of it if it is longer than allowed.
    body: bytes


class DirectPool:
    """
    Persistent connections for any number of threads. A thread uses one connection at a time.

    Args:
        context: The TLS context.
        headers: The headers of each request.
        connections: The maximum number of idle connections to each host.
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
        self._idle: dict[Origin, deque[HTTPConnection]] = {}

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, most_bytes: int
    ) -> Message:
        """
        Send a request, and return the response. Stop reading its body after more than *most_bytes* bytes.

        The caller sets the deadline of the exchange.

        Raises:
            urllib3.exceptions.HTTPError: There is no valid response in time.
            PrivateAddress: The CA may not refer to this host.
            UnicodeError: The host is invalid.
        """
        origin = Origin.of(url)
        try:
            if kept := self._taken(origin):
                try:
                    return self._exchange(origin, kept, method, url, headers, body, most_bytes)
                except ConnectionError:
                    # The server may close an idle connection while the request is on its way to it. Only
                    # idempotent requests may be sent again (RFC 9112, section 9.3.1).
                    if method not in IDEMPOTENT:
                        raise
            return self._exchange(origin, self._opened(origin), method, url, headers, body, most_bytes)
        except TimeoutError as error:
            raise ReadTimeoutError(None, url, str(error)) from error  # type: ignore[arg-type]  # only shown
        except ssl.SSLError as error:
            raise SSLError(error) from error
        except (OSError, HTTPException) as error:
            raise ProtocolError("Connection aborted.", error) from error

    def _exchange(
        self,
        origin: Origin,
        connection: HTTPConnection,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        most_bytes: int,
    ) -> Message:
        """
        Return the response. Keep *connection* if the server can answer another request on it, else close it.
        """
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        target = quote((parts.path or "/") + query, SAFE_CHARACTERS)
        is_reusable = False
        try:
            connection.request(method, target, body, {**self._headers, **headers})
            with connection.getresponse() as response:
                content = response.read(most_bytes + 1)
                if len(content) <= most_bytes and response.length:
                    raise IncompleteRead(content, response.length)
                received = HTTPHeaderDict(response.getheaders())
                message = Message(response.status, received, _decoded(content, received, most_bytes))
                is_reusable = response.isclosed() and not response.will_close
        finally:
            if is_reusable:
                self._keep(origin, connection)
            else:
                connection.close()
        return message

    def _opened(self, origin: Origin) -> HTTPConnection:
        connection = HTTPConnection(origin.host, origin.port)
        # By default, the library would open a new connection without the deadline if the server closes this
        # one.
        connection.auto_open = 0
        # The Host header names the port unless it is the default one of the scheme.
        connection.default_port = WEB_PORTS[origin.scheme]
        connection.sock = connect(origin.host, origin.port, self._allowed)
        if origin.scheme == "https":
            try:
                connection.sock = self._context.wrap_socket(
                    connection.sock, server_hostname=origin.host.rstrip(".")
                )
            except BaseException:
                connection.close()
                raise
        return connection

    def _taken(self, origin: Origin) -> HTTPConnection | None:
        while idle := self._idle.get(origin):
            try:
                connection = idle.pop()
            except IndexError:
                return None
            if not _has_ended(connection.sock):
                return connection
            connection.close()
        return None

    def _keep(self, origin: Origin, connection: HTTPConnection) -> None:
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
    # On an idle connection, the server sends nothing but the end of the connection.
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _decoded(body: bytes, headers: Mapping[str, str], most_bytes: int) -> bytes:
    # The requests accept no compression (`identity`), but some servers compress nevertheless.
    encoding = headers.get("Content-Encoding", "")
    if encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(_ANY_FORMAT).decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise HTTPException(f"the body is not {encoding}: {error}") from error
