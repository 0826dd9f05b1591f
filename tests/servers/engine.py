"""
A container engine with the part of the Docker API that certworker uses, over a Unix socket or TCP.
"""

from __future__ import annotations

import json
import re
import socketserver
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import Queue
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.servers.listening import Listening, TcpServer

API = "1.45"


class _Unix(Listening, socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        # The handler requires the address of the client, which has none on a Unix socket.
        visitor, _ = super().get_request()
        return visitor, ("", 0)


@dataclass
class Listed:
    """
    A container in the list of the engine.

    Attributes:
        more: Additional fields of its entry in the list.
    """

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    state: str = "running"
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """
        The id of the container.
        """
        return sha256(self.name.encode()).hexdigest()

    def entry(self) -> dict[str, Any]:
        """
        Return the entry of the container in the list.
        """
        known = {"Id": self.id, "Names": [f"/{self.name}"], "Labels": self.labels, "State": self.state}
        return {**known, **self.more}


class Engine:
    """
    An engine with the containers *running*. It records the requests.

    Args:
        socket: The Unix socket at which it listens. None means a port of the loopback interface.
        refusing: The pattern of paths for which it returns 403, as a socket proxy does.

    Attributes:
        asked: Each request except those for the version, as METHOD PATH?QUERY without the version.
        listed: The containers in the list. A container without a label may be absent.
        exit_code: The exit code of each command.
        followers: The connections that receive events.
    """

    def __init__(self, running: set[str], socket: Path | None = None, *, refusing: str = "$^") -> None:
        self.running = running
        self.listed: list[Listed] = []
        self.refusing = refusing
        self.asked: list[str] = []
        self.commands: list[list[str]] = []
        self.exit_code = 0
        self.followers: list[Queue[bytes]] = []
        self._socket = socket
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine._answer(self)

            def do_POST(self) -> None:
                engine._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Unix(str(socket), Handler) if socket else TcpServer(("127.0.0.1", 0), Handler)
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
        self.hang_up()
        if self._socket:
            self._socket.unlink()

    def start(self, name: str, **labels: str) -> None:
        """
        Start a container, and send its event. In *labels*, `_` represents a dot.
        """
        started = Listed(name, {label.replace("_", "."): text for label, text in labels.items()})
        self.running.add(name)
        self.listed = [*(each for each in self.listed if each.name != name), started]
        attributes = {**started.labels, "name": name, "image": "some:image"}
        actor = {"ID": started.id, "Attributes": attributes}
        event = {"Type": "container", "Action": "start", "Actor": actor, "time": 1_790_000_000}
        for follower in self.followers:
            follower.put(json.dumps(event).encode() + b"\n")

    def hang_up(self) -> None:
        """
        End each connection that receives events.
        """
        for follower in self.followers:
            follower.put(b"")

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path = request.path.removeprefix(f"/v{API}")
        if path.startswith("/events") and not re.search(self.refusing, path):
            self.asked.append(f"{request.command} {path}")
            self._send_events(request, _filters(path))
            return
        status, content = self._respond(request.command, path, body)
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _send_events(self, request: BaseHTTPRequestHandler, filters: Mapping[str, list[str]]) -> None:
        request.protocol_version = "HTTP/1.1"
        # After this response, the client gets all events. It may have disconnected.
        with self._following() as follower, suppress(OSError):
            request.send_response(200)
            request.send_header("Content-Type", "application/json")
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            while event := follower.get():
                if set(filters["label"]) <= set(json.loads(event)["Actor"]["Attributes"]):
                    request.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        request.close_connection = True

    @contextmanager
    def _following(self) -> Iterator[Queue[bytes]]:
        follower: Queue[bytes] = Queue()
        self.followers.append(follower)
        try:
            yield follower
        finally:
            self.followers.remove(follower)

    def _respond(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if re.search(self.refusing, path):
            return 403, b"<html><body><h1>403 Forbidden</h1>"
        if path == "/version":
            return 200, json.dumps({"ApiVersion": API}).encode()
        self.asked.append(f"{method} {path}")
        if path.startswith("/containers/json"):
            return 200, json.dumps(self._list(path)).encode()
        if path.startswith("/exec/"):
            return 200, json.dumps({"ExitCode": self.exit_code}).encode() if method == "GET" else b""
        _, _, name, action = re.split("[/?]", path)[:4]
        if name not in self.running:
            return 404, json.dumps({"message": f"No such container: {name}"}).encode()
        if action == "exec":
            self.commands.append(json.loads(body)["Cmd"])
            return 201, b'{"Id": "e1"}'
        return 204, b""

    def _list(self, path: str) -> list[dict[str, Any]]:
        everyone = "all=1" in path
        labels = set(_filters(path).get("label", ()))
        return [
            each.entry()
            for each in self.listed
            if labels <= set(each.labels) and (everyone or each.state == "running")
        ]


def _filters(path: str) -> Mapping[str, list[str]]:
    query = parse_qs(urlsplit(path).query)
    found: dict[str, list[str]] = json.loads(query.get("filters", ["{}"])[0])
    return found
