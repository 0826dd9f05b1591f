"""
The development CA on a free port, and a web server from which it fetches challenge responses.
"""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

from certworker.challenges.challenge import CHALLENGE_PATH
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.listening import HttpServer
from tests.servers.ports import free_port


class ChallengeServer:
    """
    A server for port 80 of a domain. It serves `answers` (token to key authorization) and a webroot.
    """

    def __init__(self, webroot: Path | None = None, port: int = 0) -> None:
        self.answers: dict[str, str] = {}
        #: The Host header of each request.
        self.hosts: list[str] = []
        #: The target of the redirect for each token.
        self.redirects: dict[str, str] = {}
        self.webroot = webroot
        self._server = HttpServer(("127.0.0.1", port), _handler(self))
        self.port = self._server.server_port

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, token: str) -> str | None:
        """
        Return the response for *token*.
        """
        file = self.webroot / CHALLENGE_PATH.strip("/") / token if self.webroot else None
        return file.read_text() if file and file.is_file() else self.answers.get(token)


def development_authority(directory: Path, **options: Any) -> FaultyAuthority:
    """
    Return a development CA that validates HTTP-01 at a free port. The caller starts the CA.
    """
    return FaultyAuthority(directory / "authority", **{"http01_port": free_port(), **options})


def _handler(server: ChallengeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = self.path.rpartition("/")[2]
            server.hosts.append(self.headers["Host"])
            answer = server.answer(token)
            self.send_response(302 if token in server.redirects else 404 if answer is None else 200)
            if token in server.redirects:
                self.send_header("Location", server.redirects[token])
            self.end_headers()
            self.wfile.write((answer or "").encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler
