"""
Provide HTTP services of DNS providers: the `httpreq` protocol, acme-dns, and faulty services.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from typing import Any

from tests.servers.listening import HttpServer


@dataclass(frozen=True)
class Call:
    """
    Hold one request.
    """

    path: str
    headers: Mapping[str, str]
    content: Any
    method: str = "POST"


@dataclass(frozen=True)
class Reply:
    """
    Hold the reply of a service.
    """

    status: int = 200
    content: bytes = b"{}"
    headers: Mapping[str, str] | None = None


Respond = Callable[[Call], Reply]


class Service:
    """
    Answer each POST and each DELETE with the reply of *respond*.
    """

    def __init__(self, respond: Respond, pair: tuple[Path, Path] | None = None) -> None:
        self.calls: list[Call] = []
        self._server = HttpServer(("127.0.0.1", 0), partial(_Handler, respond, self.calls))
        self._scheme = "http"
        if pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """
        Return the URL of the service.
        """
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """
        Stop the service.
        """
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def service(respond: Respond, pair: tuple[Path, Path] | None = None) -> Iterator[Service]:
    """
    Run a service during the block, and yield it.
    """
    started = Service(respond, pair)
    try:
        yield started
    finally:
        started.stop()


def always(status: int, content: bytes = b"{}", **headers: str) -> Respond:
    """
    Return a function that always gives the same reply. `Retry_After="1"` sets a header.
    """
    return lambda _: Reply(status, content, {name.replace("_", "-"): headers[name] for name in headers})


class Records:
    """
    Store the records of a service with the protocol of lego.
    """

    def __init__(self) -> None:
        self.values: set[tuple[str, str]] = set()

    def respond(self, call: Call) -> Reply:
        """
        Add a value for `present`, and delete it for `cleanup`.
        """
        value = (call.content["fqdn"], call.content["value"])
        if call.path.endswith("/present"):
            self.values.add(value)
        elif call.path.endswith("/cleanup"):
            self.values.discard(value)
        else:
            return Reply(404)
        return Reply()


class AcmeDnsServer:
    """
    Answer as acme-dns does, with its accounts and the last two values of each account.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, dict[str, str]] = {}
        self.values: dict[str, list[str]] = {}

    def respond(self, call: Call) -> Reply:
        """
        Answer as the API of acme-dns does. See https://github.com/joohoi/acme-dns#api.
        """
        if call.path == "/register":
            number = len(self.accounts) + 1
            subdomain = f"00000000-0000-4000-8000-{number:012}"
            account = {
                "username": f"user-{number}",
                "password": f"password-{number}",
                "fulldomain": f"{subdomain}.auth.example.net",
                "subdomain": subdomain,
            }
            self.accounts[subdomain] = account
            return Reply(201, json.dumps({**account, "allowfrom": []}).encode())
        known = self.accounts.get(call.content["subdomain"])
        given = (call.headers.get("x-api-user"), call.headers.get("x-api-key"))
        if known is None or given != (known["username"], known["password"]):
            return Reply(401, b'{"error": "forbidden"}')
        values = self.values.setdefault(known["fulldomain"], [])
        values[:] = [*values, call.content["txt"]][-2:]
        return Reply(200, json.dumps({"txt": call.content["txt"]}).encode())


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, respond: Respond, calls: list[Call], *arguments: Any) -> None:
        self._respond, self._calls = respond, calls
        super().__init__(*arguments)

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.path, headers, content, self.command)
        self._calls.append(call)
        reply = self._respond(call)
        self.send_response(reply.status)
        for name, value in (reply.headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)

    def do_DELETE(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        pass
