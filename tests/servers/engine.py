"""
A container engine as far as a reload needs one: it speaks the Docker API over a Unix socket or TCP.
"""

from __future__ import annotations

import json
import re
import socketserver
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

API = "1.45"


class _Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        # The handler wants the address of a visitor, which has none here.
        visitor, _ = super().get_request()
        return visitor, ("", 0)


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True


class Engine:
    """
    The containers *running*, and what was done to them.

    Args:
        socket: Where it listens; None: at a port of the loopback interface.
        refusing: Paths that it answers with 403, as a socket proxy does.

    Attributes:
        asked: Each request but those for the version, as METHOD PATH?QUERY without the version.
        exit_code: How every command ends.
    """

    def __init__(self, running: set[str], socket: Path | None = None, *, refusing: str = "$^") -> None:
        self.running = running
        self.refusing = refusing
        self.asked: list[str] = []
        self.commands: list[list[str]] = []
        self.exit_code = 0
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine._answer(self)

            def do_POST(self) -> None:
                engine._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Unix(str(socket), Handler) if socket else _Tcp(("127.0.0.1", 0), Handler)
        port = self._server.socket.getsockname()[1]
        self.address = f"unix://{socket}" if socket else f"tcp://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path = request.path.removeprefix(f"/v{API}")
        status, content = self._respond(request.command, path, body)
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _respond(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if re.search(self.refusing, path):
            return 403, b"<html><body><h1>403 Forbidden</h1>"
        if path == "/version":
            return 200, json.dumps({"ApiVersion": API}).encode()
        self.asked.append(f"{method} {path}")
        if path.startswith("/exec/"):
            return 200, json.dumps({"ExitCode": self.exit_code}).encode() if method == "GET" else b""
        _, _, name, action = re.split("[/?]", path)[:4]
        if name not in self.running:
            return 404, json.dumps({"message": f"No such container: {name}"}).encode()
        if action == "exec":
            self.commands.append(json.loads(body)["Cmd"])
            return 201, b'{"Id": "e1"}'
        return 204, b""
