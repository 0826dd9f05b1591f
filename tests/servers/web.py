"""
Web servers that behave as badly as a test wants, on any address of the loopback network.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from certworker.challenges.challenge import CHALLENGE_PATH

#: What a server does with a request: the bytes that it sends, or something it does with the connection.
Respond = Callable[[str, socket.socket], bytes]


class WebServer:
    """
    Answers each request with what *respond* makes of its path.

    Args:
        pair: Files of a certificate chain and its key: it speaks TLS.
    """

    def __init__(
        self,
        respond: Respond,
        host: str = "127.0.0.1",
        port: int = 0,
        pair: tuple[Path, Path] | None = None,
    ) -> None:
        self.respond = respond
        #: What was asked for, as HOST/PATH.
        self.requests: list[str] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family)
        self._context: ssl.SSLContext | None = None
        if pair:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*pair)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(visitor,), daemon=True).start()

    def _serve(self, visitor: socket.socket) -> None:
        try:
            with visitor:
                visitor.settimeout(30)
                if self._context:
                    visitor = self._context.wrap_socket(visitor, server_side=True)
                asked = visitor.recv(8192).decode("latin-1")
                _, path, *_ = asked.split(" ")
                headers = dict(line.split(": ", 1) for line in asked.splitlines()[1:] if ": " in line)
                self.requests.append(f"{headers.get('Host')}{path}")
                visitor.sendall(self.respond(path, visitor))
                # Unread data would reset the connection, and the client would lose the response.
                visitor.shutdown(socket.SHUT_WR)
                while visitor.recv(8192):
                    pass
        except (OSError, ValueError):
            return  # a visitor who went away, or who does not speak HTTP


def response(status: int, body: bytes | str = b"", **headers: str) -> bytes:
    """
    A whole HTTP response; `Content_Type="…"` is a header.
    """
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{key.replace('_', '-')}: {headers[key]}" for key in headers)]
    lines += ["Connection: close", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def always(status: int, body: bytes | str = b"", **headers: str) -> Respond:
    """
    The same response to everything.
    """
    return lambda _path, _visitor: response(status, body, **headers)


def says(content: bytes) -> Respond:
    """
    The same bytes to everybody, be they HTTP or not.
    """
    return lambda _path, _visitor: content


def redirects(location: str, status: int = 302) -> Respond:
    """
    Sends everybody on to *location*, in which {path} is what they asked for.
    """
    return lambda path, _visitor: response(status, Location=location.replace("{path}", path))


def key_authorizations(thumbprint: str = "thumbprint") -> Respond:
    """
    The right answer to every challenge of the account with *thumbprint*.
    """

    def answered(path: str, _visitor: socket.socket) -> bytes:
        token = path.removeprefix(CHALLENGE_PATH)
        return response(200, f"{token}.{thumbprint}") if token != path else response(404)

    return answered


def silent(_path: str, _visitor: socket.socket) -> bytes:
    """
    Takes the request, and says nothing.
    """
    time.sleep(30)
    return b""


def trickling(_path: str, visitor: socket.socket) -> bytes:
    """
    Says a little each moment, for ever.
    """
    visitor.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        visitor.sendall(b"X-More: 1\r\n")
        time.sleep(0.05)


def cut(_path: str, visitor: socket.socket) -> bytes:
    """
    Ends the connection with a reset.
    """
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visitor.close()
    raise OSError
