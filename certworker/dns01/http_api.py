"""
Requests to the HTTP API of a DNS provider: JSON by POST, one deadline, a bounded response, no redirects.

The text of a response may contain secrets, so no failure shows it.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from certworker.deadline import Deadline
from certworker.version import __version__

PORTS = {"http": 80, "https": 443}

#: The maximum number of bytes to read from a response. The responses of known servers have a few hundred.
MAX_RESPONSE = 65_536


@dataclass(frozen=True)
class ApiResponse:
    """
    The response of an API.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """
        Return whether the status reports a success.
        """
        return 200 <= self.status < 300

    def json(self) -> Any:
        """
        Return the parsed content; None if it is not JSON.
        """
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True)
class HttpApi:
    """
    An API. The paths of requests are appended to *url*.
    """

    url: str
    #: A PEM file with roots to trust in addition to those of the system.
    ca_bundle: Path | None
    #: The time limit of one request, including its response.
    deadline_seconds: float

    @property
    def place(self) -> str:
        """
        Return the host and the port. The rest of the URL may contain a secret.
        """
        target = urlsplit(self.url)
        return f"{target.hostname}:{target.port or PORTS[target.scheme]}"

    def post(self, path: str, content: Mapping[str, str], headers: Mapping[str, str]) -> ApiResponse:
        """
        Send *content* as JSON, and return the response.

        Raises:
            OSError: The API is unreachable, sends no HTTP response within the deadline, or TLS fails.
        """
        target = urlsplit(self.url)
        body = json.dumps(content).encode()
        connection = http.client.HTTPConnection(target.hostname or "")
        connection.sock = self._connected(target)
        sent = {
            "Host": target.netloc.rpartition("@")[2],
            "Content-Type": "application/json",
            "User-Agent": f"certworker/{__version__}",
            "Connection": "close",
            **headers,
        }
        try:
            connection.request("POST", f"{target.path.rstrip('/')}/{path}", body, sent)
            answer = connection.getresponse()
            return ApiResponse(answer.status, dict(answer.getheaders()), answer.read(MAX_RESPONSE))
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"no HTTP response ({type(error).__name__})") from None
        finally:
            connection.close()

    def _connected(self, target: SplitResult) -> socket.socket:
        host, deadline = target.hostname or "", Deadline(self.deadline_seconds)
        connection = deadline.connect_to(host, target.port or PORTS[target.scheme])
        if target.scheme == "http":
            return connection
        try:
            context = ssl.create_default_context()
            if self.ca_bundle:
                context.load_verify_locations(self.ca_bundle)
            return deadline.secure(connection, context, host)
        except BaseException:
            connection.close()
            raise
