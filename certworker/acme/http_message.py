"""
HTTP/1.1 messages as bytes: a request to write, and a response to read (RFC 9112).

`http.client` reads headers with the parser for e-mail, which takes longer than the CA needs for a response.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, IncompleteRead, LineTooLong, RemoteDisconnected
from io import BufferedIOBase
from urllib.parse import quote, urlsplit

#: The limits of `http.client` for lines and headers.
LONGEST_LINE = 65_536
MOST_HEADERS = 100

#: A server may send any number of interim responses (RFC 9110, section 15.2). certworker skips these many.
MOST_INTERIM_RESPONSES = 10

#: The characters of a target that are not escaped (RFC 3986).
SAFE_CHARACTERS = "/%:@!$&'()*+,;=~?"

_STATUS = re.compile(rb"HTTP/1\.([01]) +([1-5][0-9]{2})(?: .*)?", re.DOTALL)
_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")
_LENGTH = re.compile(r"[0-9]{1,18}")

#: The value of zlib that recognizes the formats of gzip and deflate.
_ANY_FORMAT = zlib.MAX_WBITS | 32


class Headers(Mapping[str, str]):
    """
    The headers of a response, with case-insensitive names. A comma joins repeated headers.
    """

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def add(self, name: str, value: str) -> None:
        """
        Add a header.
        """
        known = self._fields.get(key := name.lower())
        self._fields[key] = value if known is None else f"{known}, {value}"

    def __getitem__(self, name: str) -> str:
        """
        Return the value of the header *name*.
        """
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        """
        Yield the names in lower case.
        """
        return iter(self._fields)

    def __len__(self) -> int:
        """
        Return the number of names.
        """
        return len(self._fields)


@dataclass(frozen=True)
class Message:
    """
    A response.
    """

    status: int
    headers: Mapping[str, str]
    #: The decoded body; a part of it if it is longer than allowed.
    body: bytes
    #: Whether the server can answer another request on the same connection.
    is_reusable: bool


def request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """
    Return the request for *url*, in one piece so that one packet can transport it.
    """
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    lines = [
        f"{method} {quote((parts.path or '/') + query, SAFE_CHARACTERS)} HTTP/1.1",
        "Accept-Encoding: identity",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


def read(stream: BufferedIOBase, method: str, most_bytes: int) -> Message:
    """
    Return the response to a request with *method*. Stop to read a body after *most_bytes* bytes.

    Raises:
        HTTPException: The response is invalid or incomplete.
        OSError: The connection failed.
    """
    for _ in range(MOST_INTERIM_RESPONSES):
        version, status = _status(stream)
        headers = _headers(stream)
        if status >= 200:
            break
    else:
        raise BadStatusLine("too many interim responses")
    body, is_complete = _body(stream, method, status, headers, most_bytes)
    persistent = "close" not in headers.get("Connection", "" if version else "close").lower()
    decoded = _decoded(body, headers.get("Content-Encoding", ""), most_bytes)
    return Message(status, headers, decoded, is_complete and persistent)


def _status(stream: BufferedIOBase) -> tuple[int, int]:
    line = _line(stream)
    if not line:
        raise RemoteDisconnected("Remote end closed connection without response")
    found = _STATUS.fullmatch(line.rstrip())
    if found is None:
        raise BadStatusLine(repr(line[:100]))
    return int(found[1]), int(found[2])


def _headers(stream: BufferedIOBase) -> Headers:
    headers = Headers()
    for _ in range(MOST_HEADERS + 1):
        line = _line(stream).decode("latin-1")
        if not line.strip():
            return headers
        name, _, value = line.partition(":")
        headers.add(name.strip(), value.strip())
    raise HTTPException(f"got more than {MOST_HEADERS} headers")


def _body(
    stream: BufferedIOBase, method: str, status: int, headers: Headers, most: int
) -> tuple[bytes, bool]:
    """
    Return the body, and whether it is complete and the stream is at its end.
    """
    if method == "HEAD" or status in (204, 304):
        return b"", True
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return _chunks(stream, most)
    length = headers.get("Content-Length", "").partition(",")[0]
    if not _LENGTH.fullmatch(length):
        return stream.read(most + 1), False  # up to the end of the connection
    if int(length) > most:
        return _exactly(stream, most + 1), False
    return _exactly(stream, int(length)), True


def _chunks(stream: BufferedIOBase, most: int) -> tuple[bytes, bool]:
    body = b""
    while len(body) <= most:
        size = _line(stream).partition(b";")[0].strip()
        if not _SIZE.fullmatch(size):
            raise IncompleteRead(body)
        if not int(size, 16):
            _headers(stream)  # the trailer
            return body, True
        body += _exactly(stream, min(int(size, 16), most + 1))
        if len(body) <= most and _line(stream).strip():
            raise IncompleteRead(body)
    return body, False


def _exactly(stream: BufferedIOBase, count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise IncompleteRead(content, count - len(content))
    return content


def _line(stream: BufferedIOBase) -> bytes:
    line = stream.readline(LONGEST_LINE + 1)
    if len(line) > LONGEST_LINE:
        raise LineTooLong("header line")
    return line


def _decoded(body: bytes, encoding: str, most: int) -> bytes:
    # certworker requests no compression, but some servers compress nevertheless.
    if encoding.lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(_ANY_FORMAT).decompress(body, most + 1)
    except zlib.error as error:
        raise HTTPException(f"the body is not {encoding}: {error}") from error
