"""
One request to a container engine by its API, within one deadline.

The version of the API is requested first and is then part of each path
(https://docs.docker.com/reference/api/engine/). A socket proxy, which may allow little of it, listens at a
port instead of a Unix socket.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlencode

from certworker.deadline import Deadline
from certworker.errors import printable
from certworker.hosts import host_and_port_in

#: Of plain HTTP; TLS would need certificates of its own.
PORT = 2375

#: Bytes. No event is longer.
LONGEST_LINE = 1 << 20

#: Characters of a reason.
LONGEST_REASON = 200


class EngineFailed(Exception):
    """
    What the engine said, or why it said nothing.

    Attributes:
        status: None: it did not answer as an engine does.
        refused: Something before it does not allow the request.
    """

    def __init__(self, status: int | None, said: object) -> None:
        super().__init__(printable(said, LONGEST_REASON))
        self.status = status
        self.refused = status in (401, 403)


class Session:
    """
    Some requests to the engine at *address* within one *deadline*.

    Args:
        address: `unix:///PATH` or `tcp://HOST:PORT`.

    Raises:
        EngineFailed: It does not say which version of the API it has.
    """

    def __init__(self, address: str, deadline: Deadline) -> None:
        self._address = address
        self._deadline = deadline
        version = self._document("GET", "/version")
        found = version.get("ApiVersion") if isinstance(version, dict) else None
        if not isinstance(found, str) or not re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,3}", found):
            raise EngineFailed(None, "it does not say its version")
        self._prefix = f"/v{found}"

    def ask(self, method: str, path: str, content: object = None, **query: object) -> Any:
        """
        Return the answer as JSON has it; None if it is none, as that of a command.

        Raises:
            EngineFailed: It refuses, fails, or does not answer in time.
        """
        return self._document(method, self._path(path, query), content)

    def follow(self, path: str, **query: object) -> Lines:
        """
        Return the lines of an answer without an end; only its beginning is bound to the deadline.

        Raises:
            EngineFailed: It refuses, fails, or does not answer in time.
        """
        with self._deadline.begun(), _explained():
            connection = self._connection()
            opened: socket.socket = connection.sock
            try:
                connection.request("GET", self._path(path, query))
                response = connection.getresponse()
                _refuse_failure(response)
            except BaseException:
                opened.close()
                raise
            return Lines(opened, response)

    def _path(self, path: str, query: Mapping[str, object]) -> str:
        return f"{self._prefix}{path}" + (f"?{urlencode(query)}" if query else "")

    def _document(self, method: str, path: str, content: object = None) -> Any:
        with _explained():
            connection = self._connection()
            try:
                body = None if content is None else json.dumps(content)
                headers = {"Connection": "close"} | ({"Content-Type": "application/json"} if body else {})
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                _refuse_failure(response)
                answer = response.read()
            finally:
                connection.close()
        with suppress(ValueError, RecursionError):
            return json.loads(answer)
        return None

    def _connection(self) -> HTTPConnection:
        scheme, _, place = self._address.partition("://")
        if scheme == "unix":
            connection = HTTPConnection("localhost")
            connection.sock = self._deadline.connect_unix(place)
        else:
            host, port = host_and_port_in(place.removesuffix("/"), PORT)
            connection = HTTPConnection(host, port)
            connection.sock = self._deadline.connect_to(host, port)
        return connection


class Lines:
    """
    The lines of an answer without an end.
    """

    def __init__(self, connection: socket.socket, response: HTTPResponse) -> None:
        self._connection = connection
        self._response = response

    def next(self, seconds: float) -> bytes:
        """
        Return the next line; nothing when the engine has gone, or has no whole line within *seconds*.
        """
        try:
            with Deadline(seconds).begun():
                return self._response.readline(LONGEST_LINE)
        except (OSError, HTTPException, ValueError, AttributeError):
            return b""  # it went away, or another thread has closed it meanwhile

    def close(self) -> None:
        """
        End it, also while another thread waits for the next line.
        """
        with suppress(OSError):  # it is closed
            self._connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EngineFailed(None, error.strerror or error) from error
    except HTTPException as error:
        raise EngineFailed(None, f"no HTTP answer ({error!r})") from error


def _refuse_failure(response: HTTPResponse) -> None:
    if response.status >= 400:
        raise EngineFailed(response.status, _message(response.read()) or response.reason)
    if response.status >= 300:
        raise EngineFailed(None, f"HTTP {response.status}")


def _message(answer: bytes) -> str:
    with suppress(ValueError, RecursionError):
        document = json.loads(answer)
        if isinstance(document, dict) and isinstance(document.get("message"), str):
            return str(document["message"])
    return answer[: 4 * LONGEST_REASON].decode("utf-8", "replace").strip()
