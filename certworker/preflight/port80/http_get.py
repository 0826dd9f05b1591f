"""
One HTTP request to one address, with one deadline for all of it.
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

#: A key authorization is shorter, and Boulder takes no longer answer.
MAX_BODY = 127
#: The rest serves to recognise who gave an answer that is not ours.
MAX_BYTES = 4_096

AGENT = "Mozilla/5.0 (compatible; certworker; looks whether a CA would find its answer)"

#: What may stand in a URL as it is (RFC 3986); other characters would tear the request apart.
AS_IT_IS = "/%:@!$&'()*+,;=~?"

#: This machine has no way to such an address: nothing is known of it.
NO_WAY = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EACCES, errno.EPERM, errno.EINVAL)

#: What OpenSSL says of a server that answers a handshake with something else.
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG")


class FetchError(Enum):
    """
    What came instead of an answer; the value says it.
    """

    UNREACHABLE = "this machine has no way to that address"
    TIMEOUT = "nobody answered"
    REFUSED = "connection refused"
    RESET = "connection cut"
    SILENT = "no answer after the connection was made"
    NOT_HTTP = "no HTTP"
    NOT_TLS = "no TLS"
    BAD_TLS = "TLS failed"
    BAD_REDIRECT = "a redirect that no CA follows"
    LOOP = "redirected in a circle"


class FetchFailed(Exception):
    """
    There is no answer, because of *trouble*; *detail* says more.
    """

    def __init__(self, trouble: FetchError, detail: str = "") -> None:
        super().__init__(trouble, detail)
        self.error = trouble
        self.detail = detail


@dataclass(frozen=True)
class Reply:
    """
    What a web server answered.
    """

    status: int
    #: With names in lower case.
    headers: Mapping[str, str]
    #: The first :data:`MAX_BYTES` of it.
    body: bytes


def http_get(url: str, address: Address, port: int, deadline: Deadline) -> Reply:
    """
    GET *url* from *address*, whatever its host resolves to.

    A certificate is not verified, as a CA does not: it may well be the one that is to be replaced.

    Args:
        deadline: Connection, handshake and answer have to be complete by then.

    Raises:
        Stopped: There is no answer.
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
    except OSError as error:
        trouble = FetchError.UNREACHABLE if error.errno in NO_WAY else FetchError.TIMEOUT
        raise FetchFailed(trouble, error.strerror or str(error)) from None
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
    except ssl.SSLError as error:
        trouble = FetchError.NOT_TLS if error.reason in NO_TLS else FetchError.BAD_TLS
        raise FetchFailed(trouble, error.reason or str(error)) from None
    except OSError:
        raise FetchFailed(FetchError.RESET) from None


def _exchange(connection: socket.socket, url: str) -> Reply:
    parts = urlsplit(url)
    wanted = quote(parts.path or "/", AS_IT_IS) + (f"?{quote(parts.query, AS_IT_IS)}" if parts.query else "")
    request = (
        f"GET {wanted} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: {AGENT}\r\n"
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
        return body  # nobody reads it
    try:
        while len(body) < MAX_BYTES and (part := response.read1(MAX_BYTES - len(body))):
            body += part
    except (TimeoutError, HTTPException):
        # A CA would have stopped reading by now; so much is enough to judge it.
        if len(body) <= MAX_BODY:
            raise
    return body
