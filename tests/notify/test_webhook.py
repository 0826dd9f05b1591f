"""
Tests of notifications by HTTP to a real receiver.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from threading import Thread

import pytest

from certworker.notify import webhook
from certworker.notify.webhook import SIGNATURE, Webhook, WebhookRefused
from tests.notify.test_message import FAILED
from tests.servers.listening import HttpServer
from tests.servers.ports import free_port
from tests.servers.web import WebServer, always, sends, trickling


class Receiver(HttpServer):
    """
    A server that records its requests, and answers with `status`.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 204
        self.received: list[tuple[str, dict[str, str], bytes]] = []


class Handler(BaseHTTPRequestHandler):
    """
    The handler of a request.
    """

    server: Receiver

    def do_POST(self) -> None:
        """
        Record the request.
        """
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """
        Log nothing.
        """


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """
    Yield a running receiver.
    """
    with Receiver() as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


class TestSend:
    def test_the_request_is_signed(self, receiver: Receiver) -> None:
        """
        The signature of the request covers its body.
        """
        Webhook(f"http://127.0.0.1:{receiver.server_port}/hook?a=b", "secret", private=True).send([FAILED])
        ((path, headers, body),) = receiver.received

        assert "/hook?a=b" == path
        assert [FAILED.as_json()] == json.loads(body)["notices"]
        assert f"sha256={hmac.new(b'secret', body, 'sha256').hexdigest()}" == headers[SIGNATURE]

    def test_the_body_suits_programs_and_chats(self, receiver: Receiver) -> None:
        """
        The body has the texts for chats and the notifications for programs.

        Slack and Mattermost show `text`, Discord shows `content`, and ntfy shows the template in the URL.
        """
        many = [replace(FAILED, name=f"shop{number}.example.org") for number in range(1_000)]
        Webhook(f"http://127.0.0.1:{receiver.server_port}/t?tpl=1&m={{{{.text}}}}", None, private=True).send(
            many
        )
        ((path, headers, body),) = receiver.received
        sent = json.loads(body)

        assert "/t?tpl=1&m=%7B%7B.text%7D%7D" == path
        assert "application/json" == headers["Content-Type"]
        assert {"text", "content", "notices"} == set(sent)
        assert sent["text"] == sent["content"]
        assert sent["text"].startswith("shop0.example.org: issuance failed\n")
        assert len(sent["content"]) <= 2_000
        assert 1_000 == len(sent["notices"])

    def test_a_check_sends_no_request(self, receiver: Receiver) -> None:
        """
        The check of the doctor connects, but sends no request.
        """
        hook = Webhook(f"http://user:word@127.0.0.1:{receiver.server_port}/secret", None, private=True)
        hook.check()

        assert [] == receiver.received
        assert f"127.0.0.1:{receiver.server_port}" == hook.address

    def test_a_check_fails_like_a_delivery(self) -> None:
        """
        The check fails for a closed port and for a private address, with the setting in the remedy.
        """
        with pytest.raises(OSError, match="refused"):
            Webhook(f"http://127.0.0.1:{free_port()}/", None, private=True).check()
        with pytest.raises(WebhookRefused, match="CERTWORKER_PRIVATE_NETWORK=true"):
            Webhook("https://127.0.0.1/", None, private=False).check()

    def test_a_private_address_gets_no_request_by_default(self, receiver: Receiver) -> None:
        """
        A private address gets no request, unless the settings allow it.
        """
        with pytest.raises(WebhookRefused, match="private address"):
            Webhook(f"http://localhost:{receiver.server_port}/", None, private=False).send([FAILED])

        assert [] == receiver.received

    @pytest.mark.parametrize("host", ["[64:ff9b::a00:1]", "[2002:a00:1::1]", "[fec0::1]"])
    def test_an_ipv6_form_of_a_private_address_gets_no_request(self, host: str) -> None:
        """
        A private IPv4 address as an IPv6 address, or a site-local address, is private, too.
        """
        with pytest.raises(WebhookRefused, match="private address"):
            Webhook(f"http://{host}:1/", None, private=False, seconds=0.1).check()

    @pytest.mark.parametrize("status", [302, 404, 500])
    def test_another_status_is_a_failure(self, receiver: Receiver, status: int) -> None:
        """
        A status other than success is a failure. A redirect could lead to any address.
        """
        receiver.status = status
        with pytest.raises(WebhookRefused, match=str(status)):
            Webhook(f"http://127.0.0.1:{receiver.server_port}/", None, private=True).send([FAILED])

    def test_an_unreachable_receiver_is_an_oserror(self) -> None:
        """
        An unreachable receiver raises OSError, so that the notifier retries the delivery.
        """
        with pytest.raises(OSError, match="refused"):
            Webhook(f"http://127.0.0.1:{free_port()}/", None, private=True).send([FAILED])

    def test_an_endless_answer_is_a_timeout(self) -> None:
        """
        A response that is not complete within the timeout raises TimeoutError.
        """
        with WebServer(trickling) as server, pytest.raises(TimeoutError, match=r"within 0\.3 s"):
            Webhook(f"http://127.0.0.1:{server.port}/", None, private=True, seconds=0.3).send([FAILED])

    @pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
    def test_the_host_header_has_the_name_and_the_port(self, host: str) -> None:
        """
        The Host header has the name and the port of the URL (RFC 9110, section 7.2).
        """
        with WebServer(always(204), host="::1" if "[" in host else "127.0.0.1") as server:
            Webhook(f"http://{host}:{server.port}/hook", None, private=True).send([FAILED])

        assert [f"{host}:{server.port}/hook"] == server.requests

    def test_the_host_header_has_no_default_port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The Host header has no default port, because some servers compare the complete value.
        """
        with WebServer(always(204)) as server:
            monkeypatch.setitem(webhook.PORTS, "http", server.port)
            Webhook("http://localhost/hook", None, private=True).send([FAILED])

        assert ["localhost/hook"] == server.requests

    def test_a_user_in_the_url_is_authenticated(self, receiver: Receiver) -> None:
        """
        The user and the password of the URL are sent as credentials.
        """
        Webhook(f"http://me:p%C3%A4ss@127.0.0.1:{receiver.server_port}/", None, private=True).send([FAILED])
        ((_, headers, _),) = receiver.received

        assert "me:päss" == b64decode(headers["Authorization"].removeprefix("Basic ")).decode()
        assert f"127.0.0.1:{receiver.server_port}" == headers["Host"]

    def test_a_path_with_other_letters_is_encoded(self, receiver: Receiver) -> None:
        """
        A path with other letters is percent-encoded.
        """
        Webhook(f"http://127.0.0.1:{receiver.server_port}/hök?a=ü#part", None, private=True).send([FAILED])
        ((path, _, _),) = receiver.received

        assert "/h%C3%B6k?a=%C3%BC" == path

    @pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 2000 OK\r\n\r\n"])
    def test_an_answer_that_is_not_http_is_an_oserror(self, answer: bytes) -> None:
        """
        An answer that is not HTTP raises OSError.
        """
        with WebServer(sends(answer)) as server, pytest.raises(OSError):  # noqa: PT011 (any of them)
            Webhook(f"http://127.0.0.1:{server.port}/", None, private=True).send([FAILED])
