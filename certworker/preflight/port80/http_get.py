"""
One HTTP request to one address, with one deadline.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from urllib.parse import quote, urlsplit

from certworker.deadline import Deadline, Place
from certworker.domains.address import Address

#: The maximum number of bytes in the body of a valid response. A key authorization is shorter, and Boulder
#: rejects a longer body.
MAX_BODY = 127
#: The maximum number of bytes of a body to read, to identify the server that sent a wrong response.
MAX_BYTES = 4_096

AGENT = "Mozilla/5.0 (compatible; certworker; checks the response to an ACME challenge)"

#: Besides letters, digits, `_`, `.` and `-`, these characters of a URL are not escaped (RFC 3986). Some other
#: characters would break the request line.
SAFE_CHARACTERS = "/%:@!$&'()*+,;=~?"

#: Errors that this machine or its network causes, not the server.
NO_ROUTE = (
    errno.ENETUNREACH,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.EACCES,
    errno.EPERM,
    errno.EINVAL,
)

#: The reasons that OpenSSL reports if a server does not speak TLS.
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG")


class FetchError(Enum):
    """
    The reason for a missing response. The value describes the reason.
    """

    UNREACHABLE = "this machine cannot reach that address"
    TIMEOUT = "no response"
    REFUSED = "connection refused"
    RESET = "connection closed"
    SILENT = "no response after the connection was established"
    NOT_HTTP = "not HTTP"
    NOT_TLS = "not TLS"
    BAD_TLS = "TLS failed"
    BAD_REDIRECT = "a redirect that no CA follows"
    LOOP = "a redirect loop"


class FetchFailed(Exception):
    """
    The request got no usable response. *error* is the reason, and *detail* describes the reason.
    """

    def __init__(self, error: FetchError, detail: str = "") -> None:
        super().__init__(error, detail)
        self.error = error
        self.detail = detail


@dataclass(frozen=True)
class Reply:
    """
    The response of a web server.
    """

    status: int
    #: The headers, with names in lower case.
    headers: Mapping[str, str]
    #: At most the first :data:`MAX_BYTES` bytes of the body; empty for a redirect.
    body: bytes


def http_get(url: str, address: Address, port: int, deadline: Deadline) -> Reply:
    """
    Send a GET for *url* to *address*, without resolving the host.

    Like a CA, do not verify the certificate, because the order may replace it.

    Args:
        deadline: Limits the connection, the handshake and the response together.

    Raises:
        FetchFailed: There is no complete HTTP response within the deadline.
    """
    parts = urlsplit(url)
    with _connected(address, port, deadline) as plain:
        if parts.scheme != "https":
            return _exchange(plain, url)
        with _secured(plain, parts.hostname or "", deadline) as secured:
            return _exchange(secured, url)


@contextmanager
def _connected(address: Address, port: int, deadline: Deadline) -> Iterator[socket.socket]:
    try:
        connection = deadline.connect([Place.of(address, port)])
    except TimeoutError:
        raise FetchFailed(FetchError.TIMEOUT) from None
    except ConnectionRefusedError:
        raise FetchFailed(FetchError.REFUSED) from None
    except OSError as cause:
        error = FetchError.UNREACHABLE if cause.errno in NO_ROUTE else FetchError.TIMEOUT
        raise FetchFailed(error, cause.strerror or str(cause)) from None
    with connection:
        yield connection


def _secured(connection: socket.socket, host: str, deadline: Deadline) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        return deadline.secure(connection, context, host)
    except TimeoutError:
        raise FetchFailed(FetchError.SILENT) from None
    except ssl.SSLError as cause:
        error = FetchError.NOT_TLS if cause.reason in NO_TLS else FetchError.BAD_TLS
        raise FetchFailed(error, cause.reason or str(cause)) from None
    except OSError:
        raise FetchFailed(FetchError.RESET) from None


def _exchange(connection: socket.socket, url: str) -> Reply:
    parts = urlsplit(url)
    target = quote(parts.path or "/", SAFE_CHARACTERS) + (
        f"?{quote(parts.query, SAFE_CHARACTERS)}" if parts.query else ""
    )
    request = (
        f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: {AGENT}\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    response = HTTPResponse(connection, method="GET")
    try:
        connection.sendall(request.encode("ascii"))
        response.begin()
        body = _body(response)
    except TimeoutError:
        raise FetchFailed(FetchError.SILENT) from None
    except RemoteDisconnected:
        raise FetchFailed(FetchError.RESET) from None
    except HTTPException as error:
        raise FetchFailed(FetchError.NOT_HTTP, str(error)) from None
    except OSError:
        raise FetchFailed(FetchError.RESET) from None
    finally:
        response.close()
    return Reply(response.status, {key.lower(): value for key, value in response.getheaders()}, body)


def _body(response: HTTPResponse) -> bytes:
    body = b""
    if 300 <= response.status < 400:
        return body  # a redirect needs no body
    try:
        while len(body) < MAX_BYTES and (part := response.read1(MAX_BYTES - len(body))):
            body += part
    except (TimeoutError, HTTPException):
        # A body that is too long for a CA is wrong, so its beginning is sufficient for a diagnosis.
        if len(body) <= MAX_BODY:
            raise
    return body
