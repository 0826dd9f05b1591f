"""
The HTTP server of a worker or a mirror: challenge responses, health and metrics.

Its port may be reachable from the Internet, through port 80 of each domain. So the server limits the size of
requests, returns short error pages, and does not reveal the software in its headers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from certworker.challenges.challenge import CHALLENGE_PATH, TOKEN
from certworker.errors import CertworkerError
from certworker.http.listener import Listener
from certworker.http.throttle import HEADERS, Bounds
from certworker.settings import HttpAddress
from certworker.supervision import Faults, unexplained

logger = logging.getLogger(__name__)

BOUNDS = Bounds(
    "the HTTP port",
    # Together with the files of the jobs, this stays below the usual limit of 1,024 open files.
    connections=500,
    # A response usually takes less than a millisecond, so more threads would only use memory.
    threads=4,
    pause_seconds=2.0,
    # A request for a token has a few hundred bytes and no body.
    read_at_once=1024,
    longest_header=8 * 1024,
    longest_body=1024,
    unread=16 * 1024 * 1024,
)

Reply = tuple[str, str, bytes]
NOT_FOUND: Reply = ("404 Not Found", "text/plain", b"not found\n")
NOT_ALLOWED: Reply = ("405 Method Not Allowed", "text/plain", b"only GET and HEAD\n")
UNAVAILABLE: Reply = ("503 Service Unavailable", "text/plain", b"unavailable\n")


class HttpServer:
    """
    The HTTP server of a worker or a mirror on one address, in its own thread.

    `GET /.well-known/acme-challenge/TOKEN` returns the key authorization, for any Host (RFC 8555, section
    8.3). `GET /healthz` returns 200 or 503, and `GET /metrics` the metrics for Prometheus. Challenges and
    metrics are optional.

    Attributes:
        loop: The loop and its heartbeat.
    """

    def __init__(
        self,
        address: HttpAddress,
        *,
        answer: Callable[[str], str | None] | None,
        answers_at_once: Callable[[str], bool] = lambda _token: False,
        healthy: Callable[[], Mapping[str, object]],
        metrics: Callable[[], bytes] | None,
        explain: Callable[[BaseException], CertworkerError | None] = unexplained,
        name: str = "responder",
        variable: str = "CERTWORKER_HTTP_ADDRESS",
    ) -> None:
        """
        Args:
            address: Where to listen. `::` also accepts IPv4; port 0 selects a free port.
            answer: Returns the key authorization for a token, or None. Without this function, the server
                serves no challenges.
            answers_at_once: Returns whether *answer* knows a token without a wait. If so, the loop
                responds, not a thread.
            healthy: Returns the state of each part of the process. The status of the response is 200 if the
                member `healthy` is True, and otherwise 503.
            metrics: Returns the metrics in Prometheus' text format; None: serve no metrics.
            name: The name of the loop.
            variable: The environment variable of the address.
            explain: Returns the CertworkerError for an exception of these functions, or None.
        """
        self._answer = answer
        self._answers_at_once = answers_at_once
        self._healthy = healthy
        self._metrics = metrics
        self._explain = explain
        self._failure_logged = False
        self._faults = Faults("a response from the HTTP server")
        self._listener = Listener(
            address,
            self._respond,
            BOUNDS,
            name=name,
            responds_at_once=self._responds_at_once,
            variable=variable,
        )
        self.loop = self._listener.loop

    @property
    def port(self) -> int:
        """
        Return the port that the server listens on.
        """
        return self._listener.port

    def start(self) -> None:
        """
        Start the server, which responds as soon as this method returns.

        Raises:
            AddressNotUsable: The server cannot listen on the address.
        """
        self._listener.start()

    def stop(self) -> None:
        """
        Close the server; do nothing if it never started.
        """
        self._listener.stop()

    def _respond(self, request: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        try:
            status, content_type, body = self._reply(
                request["REQUEST_METHOD"], request["PATH_INFO"], request["REQUEST_URI"]
            )
        except Exception as error:
            # Expected failures cause only one warning until the next successful search for a token: a flood
            # of requests must not flood the log.
            if failure := self._explain(error):
                level = logging.DEBUG if self._failure_logged else logging.WARNING
                logger.log(level, "cannot respond to a request: %s", failure.message)
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
        return [] if request["REQUEST_METHOD"] == "HEAD" else [body]

    def _responds_at_once(self, path: str) -> bool:
        return path.startswith(CHALLENGE_PATH) and self._answers_at_once(path.removeprefix(CHALLENGE_PATH))

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
