"""
The HTTP server of the worker: challenge responses, health and metrics.

Its port is reachable from the Internet through port 80 of each domain. So the server limits the size of
requests, returns short responses, and does not reveal its software.
"""

from __future__ import annotations

import errno
import json
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from certworker.challenges.challenge import CHALLENGE_PATH, TOKEN
from certworker.errors import CertworkerError
from certworker.errors.config import AddressNotUsable
from certworker.http.throttle import HEADERS, BoundedServer
from certworker.settings import HttpAddress
from certworker.supervision import Faults, Loop, Postponed, unexplained

logger = logging.getLogger(__name__)

#: A response takes microseconds. More threads would only use memory.
THREADS = 4

#: The server is stalled after twice this time without a response while requests wait.
BEAT_SECONDS = 15.0
STOP_SECONDS = 10.0

#: A request for a token has a few hundred bytes and no body. All bytes of one read are parsed at once.
READ_AT_ONCE = 1024
LONGEST_HEADER = 8 * 1024
LONGEST_BODY = 1024

Reply = tuple[str, str, bytes]
NOT_FOUND: Reply = ("404 Not Found", "text/plain", b"not found\n")
NOT_ALLOWED: Reply = ("405 Method Not Allowed", "text/plain", b"only GET and HEAD\n")
UNAVAILABLE: Reply = ("503 Service Unavailable", "text/plain", b"unavailable\n")


class HttpServer:
    """
    The HTTP server of the worker, in a thread of its own.

    `GET /.well-known/acme-challenge/TOKEN` returns the key authorization, for any Host (RFC 8555, 8.3).
    `GET /healthz` returns 200 or 503, and `GET /metrics` the metrics for Prometheus.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        address: HttpAddress,
        *,
        answer: Callable[[str], str | None] | None,
        healthy: Callable[[], Mapping[str, object]],
        metrics: Callable[[], bytes] | None,
        explain: Callable[[BaseException], CertworkerError | None] = unexplained,
        name: str = "responder",
    ) -> None:
        """
        Args:
            address: Where to listen. `::` accepts IPv4 as well; port 0 is a free port.
            answer: Returns the key authorization for a token, or None; None: serve no challenges.
            healthy: Returns whether the worker is `healthy`, and the state of its parts.
            metrics: Returns the metrics in Prometheus' text format; None: serve no metrics.
            name: The name of the loop.
            explain: Returns the CertworkerError for an exception of these functions, or None.
        """
        self._address = address
        self._answer = answer
        self._healthy = healthy
        self._metrics = metrics
        self._explain = explain
        self._failure_logged = False
        self._faults = Faults("a response of the HTTP server")
        self._server: Any = None
        self._connections: dict[int, Any] = {}
        self._answered = 0
        self._seen = 0
        self.loop = Loop(name, self._serve, seconds=BEAT_SECONDS, faults=Faults("the HTTP server"))

    @property
    def port(self) -> int:
        """
        Return the port that the server listens on.
        """
        return int(self._server.effective_port)

    def start(self) -> None:
        """
        Start the server, which responds as soon as this method returns.

        Raises:
            AddressNotUsable: Another program uses the port, or the address does not belong to this machine.
        """
        try:
            listening = _bound(self._address)
        except OSError as error:
            reason = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror
            raise AddressNotUsable(address=self._address, reason=reason) from error
        self._server = BoundedServer(
            self._respond,
            map=self._connections,
            _sock=listening,
            bind_socket=False,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
            threads=THREADS,
            recv_bytes=READ_AT_ONCE,
            max_request_header_size=LONGEST_HEADER,
            max_request_body_size=LONGEST_BODY,
            log_socket_errors=False,
            ident=None,
        )
        self.loop.start()

    def stop(self) -> None:
        """
        Close the server; do nothing if it never started.
        """
        if self._server is not None:
            # The loop ends when no connection is left.
            self._server.stop()
            self.loop.finish(STOP_SECONDS)

    def _serve(self) -> float | None:
        """
        Read and write all connections once; return None when none is left.
        """
        self._server.pass_once()
        if not self._connections:
            self._server.task_dispatcher.shutdown()
            return None
        answered, before = self._answered, self._seen
        self._seen = answered
        if self._server.task_dispatcher.queue and answered == before:
            raise Postponed(0)  # requests wait and no thread answers: the server makes no progress
        return 0

    def _respond(self, request: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        try:
            status, content_type, body = self._reply(
                request["REQUEST_METHOD"], request["PATH_INFO"], request["REQUEST_URI"]
            )
        except Exception as error:
            # The failure is logged once, so that a flood of requests does not flood the log.
            if failure := self._explain(error):
                level = logging.DEBUG if self._failure_logged else logging.WARNING
                logger.log(level, "cannot respond to challenges: %s", failure.message)
                self._failure_logged = True
            else:
                self._faults.failed(error)
            status, content_type, body = UNAVAILABLE
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            *HEADERS,
        ]
        if status == NOT_ALLOWED[0]:
            headers.append(("Allow", "GET, HEAD"))
        start_response(status, headers)
        self._answered += 1
        return [] if request["REQUEST_METHOD"] == "HEAD" else [body]

    def _reply(self, method: str, path: str, target: str) -> Reply:
        if method not in ("GET", "HEAD"):
            return NOT_ALLOWED
        if path.startswith(CHALLENGE_PATH) and self._answer:
            token = path.removeprefix(CHALLENGE_PATH)
            if not TOKEN.fullmatch(token):
                return NOT_FOUND
            answer = self._answer(token)
            self._failure_logged = False
            return ("200 OK", "text/plain", answer.encode("ascii")) if answer else NOT_FOUND
        # A proxy that forbids these paths may compare the text of the request line. //metrics, /%6Detrics and
        # http://x/metrics (RFC 9112, section 3.2.2) have the same path, so only the literal form is served.
        literal = target.partition("?")[0]
        if literal == "/healthz":
            return self._health()
        if literal == "/metrics" and self._metrics:
            return ("200 OK", "text/plain; version=0.0.4; charset=utf-8", self._metrics())
        return NOT_FOUND

    def _health(self) -> Reply:
        parts = self._healthy()
        status = "200 OK" if parts["healthy"] is True else "503 Service Unavailable"
        return (status, "application/json", json.dumps(parts, default=str).encode() + b"\n")


def _bound(address: HttpAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind((address.host, address.port))
    except OSError:
        listening.close()
        raise
    return listening
