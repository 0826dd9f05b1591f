"""
Web servers with any behavior that a test needs, on any address of the loopback network.
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

#: A function that returns the response to a path, or uses the connection directly.
Respond = Callable[[str, socket.socket], bytes]


class WebServer:
    """
    A server that answers each request with *respond*.

    Args:
        pair: The files of the certificate chain and its key for TLS.
    """

    def __init__(
        self,
        respond: Respond,
        host: str = "127.0.0.1",
        port: int = 0,
        pair: tuple[Path, Path] | None = None,
    ) -> None:
        self.respond = respond
        #: The requests, as HOST/PATH.
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
                client, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                client.settimeout(30)
                if self._context:
                    client = self._context.wrap_socket(client, server_side=True)
                request = client.recv(8192).decode("latin-1")
                _, path, *_ = request.split(" ")
                headers = dict(line.split(": ", 1) for line in request.splitlines()[1:] if ": " in line)
                self.requests.append(f"{headers.get('Host')}{path}")
                client.sendall(self.respond(path, client))
                # Unread data would reset the connection, and the client would lose the response.
                client.shutdown(socket.SHUT_WR)
                while client.recv(8192):
                    pass
        except (OSError, ValueError):
            return  # the client disconnected, or does not speak HTTP


def response(status: int, body: bytes | str = b"", **headers: str) -> bytes:
    """
    Return a complete HTTP response; `Content_Type="…"` is a header.
    """
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Reason", *(f"{key.replace('_', '-')}: {headers[key]}" for key in headers)]
    lines += ["Connection: close", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def always(status: int, body: bytes | str = b"", **headers: str) -> Respond:
    """
    Send the same response to each request.
    """
    return lambda _path, _client: response(status, body, **headers)


def sends(content: bytes) -> Respond:
    """
    Send the same bytes to each request. They need not be HTTP.
    """
    return lambda _path, _client: content


def redirects(location: str, status: int = 302) -> Respond:
    """
    Redirect each request to *location*, in which {path} is the requested path.
    """
    return lambda path, _client: response(status, Location=location.replace("{path}", path))


def key_authorizations(thumbprint: str = "thumbprint") -> Respond:
    """
    Send the correct response to each challenge of the account with *thumbprint*.
    """

    def answered(path: str, _client: socket.socket) -> bytes:
        token = path.removeprefix(CHALLENGE_PATH)
        return response(200, f"{token}.{thumbprint}") if token != path else response(404)

    return answered


def silent(_path: str, _client: socket.socket) -> bytes:
    """
    Read the request, and send nothing.
    """
    time.sleep(30)
    return b""


def trickling(_path: str, client: socket.socket) -> bytes:
    """
    Send a few bytes repeatedly, without end.
    """
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        client.sendall(b"X-More: 1\r\n")
        time.sleep(0.05)


def cut(_path: str, client: socket.socket) -> bytes:
    """
    End the connection with a reset.
    """
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    raise OSError
