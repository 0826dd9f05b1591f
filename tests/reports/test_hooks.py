"""
Notices by HTTP, to a real receiver.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from threading import Thread

import pytest

from certworker.reports.hooks import SIGNATURE, Hook, HookRefused
from tests.reports.test_notice import FAILED
from tests.servers.listening import HttpServer
from tests.servers.ports import free_port


class Receiver(HttpServer):
    """
    Keeps what is posted, and answers with `status`.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 204
        self.received: list[tuple[str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    """
    One request.
    """

    server: Receiver

    def do_POST(self) -> None:
        """
        Keep it.
        """
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """
        Say nothing.
        """


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """
    A receiver on this machine.
    """
    with Receiver() as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


class TestSend:
    def test_the_receiver_can_check_who_sent_it(self, receiver: Receiver) -> None:
        """
        The signature covers the body.
        """
        Hook(f"http://127.0.0.1:{receiver.server_port}/hook?a=b", "secret", private=True).send([FAILED])
        ((path, headers, body),) = receiver.received

        assert "/hook?a=b" == path
        assert [FAILED.as_json()] == json.loads(body)["notices"]
        assert f"sha256={hmac.new(b'secret', body, 'sha256').hexdigest()}" == headers[SIGNATURE]

    def test_a_private_address_is_not_asked_unless_allowed(self, receiver: Receiver) -> None:
        """
        Whoever can write a setting should not reach what is inside.
        """
        with pytest.raises(HookRefused, match="private address"):
            Hook(f"http://localhost:{receiver.server_port}/", None, private=False).send([FAILED])

        assert [] == receiver.received

    @pytest.mark.parametrize("status", [302, 404, 500])
    def test_anything_but_success_keeps_the_letter(self, receiver: Receiver, status: int) -> None:
        """
        A redirect is none: it might lead anywhere.
        """
        receiver.status = status
        with pytest.raises(HookRefused, match=str(status)):
            Hook(f"http://127.0.0.1:{receiver.server_port}/", None, private=True).send([FAILED])

    def test_nobody_there_is_an_oserror(self) -> None:
        """
        The post office tries again.
        """
        with pytest.raises(OSError, match="refused"):
            Hook(f"http://127.0.0.1:{free_port()}/", None, private=True).send([FAILED])
