"""
Notifications as JSON by HTTP POST, for programs and chats. A signature is optional.
"""

from __future__ import annotations

import hmac
import http.client
import json
import socket
import ssl
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from certworker.deadline import Deadline
from certworker.domains.address import is_public
from certworker.notify.message import Notification, short
from certworker.version import __version__

#: The time limit of a whole request, including its response.
LONGEST_SECONDS = 20.0

#: The maximum number of characters for Discord. Mattermost allows 16,383, Slack 40,000, and ntfy 4,096 bytes.
LONGEST_CHAT_TEXT = 2_000

#: As in GitHub's webhooks, the value is `sha256=` and the HMAC of the body in hexadecimal.
SIGNATURE = "X-Certworker-Signature"

PORTS = {"http": 80, "https": 443}

#: Characters of a URL that are not escaped (RFC 3986).
UNESCAPED = "/%:@!$&'()*+,;=~?"


class WebhookRefused(OSError):
    """
    The receiver refused the request or sent no HTTP response, or its address is not allowed.
    """


def payload(notifications: Sequence[Notification]) -> dict[str, Any]:
    """
    Return the body of a request about *notifications*.

    Slack and Mattermost show `text`, Discord shows `content`; each ignores the fields that it does not know.
    """
    text = short(notifications, LONGEST_CHAT_TEXT)
    return {
        "text": text,
        "content": text,
        "notices": [notification.as_json() for notification in notifications],
    }


@dataclass(frozen=True)
class Webhook:
    """
    Posts to one URL, which may have a user and a password (Basic authentication, RFC 7617).
    """

    url: str
    #: The key that signs the body (HMAC-SHA-256); None: requests have no signature.
    secret: str | None
    #: Whether the URL may lead to a private address.
    private: bool
    #: The time limit of one delivery.
    seconds: float = LONGEST_SECONDS

    @property
    def address(self) -> str:
        """
        Return the host and the port; the rest of the URL may be a secret.
        """
        target = urlsplit(self.url)
        return f"{target.hostname}:{target.port or PORTS[target.scheme]}"

    def check(self) -> None:
        """
        Connect, with TLS for https, and send nothing.

        Raises:
            OSError: The connection fails, or the receiver has only addresses that are not allowed.
        """
        self._connect(urlsplit(self.url), Deadline(self.seconds)).close()

    def send(self, notifications: Sequence[Notification]) -> None:
        """
        Send one request with all *notifications*. Redirects are not followed.

        Raises:
            OSError: The receiver does not respond with 2xx within *seconds*, or it has only private addresses
                and these are not allowed.
        """
        target = urlsplit(self.url)
        body = json.dumps(payload(notifications)).encode()
        connection = http.client.HTTPConnection(target.hostname or "")
        connection.sock = self._connect(target, Deadline(self.seconds))
        try:
            connection.request("POST", _request_target(target), body, self._headers(target, body))
            status = connection.getresponse().status
        except http.client.HTTPException as error:
            raise WebhookRefused(f"no HTTP response ({error!r})") from error
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise WebhookRefused(f"HTTP {status}")

    def _connect(self, target: SplitResult, deadline: Deadline) -> socket.socket:
        host = target.hostname or ""
        # The connection goes to a checked address, because a second DNS answer might differ.
        addresses = deadline.places(host, target.port or PORTS[target.scheme])
        allowed = [address for address in addresses if self.private or is_public(address.ip)]
        if not allowed:
            found = f"{host} has the private address {addresses[0].ip}"
            raise WebhookRefused(f"{found}; to allow it, set CERTWORKER_PRIVATE_NETWORK=true")
        connection = deadline.connect(allowed)
        if target.scheme == "http":
            return connection
        return deadline.secure(connection, ssl.create_default_context(), host)

    def _headers(self, target: SplitResult, body: bytes) -> dict[str, str]:
        user, _, host = target.netloc.rpartition("@")
        headers = {
            # As in the URL: with the port, and with the brackets of an IPv6 address.
            "Host": host,
            "Content-Type": "application/json",
            "User-Agent": f"certworker/{__version__}",
        }
        if user:
            headers["Authorization"] = f"Basic {b64encode(unquote(user).encode()).decode()}"
        if self.secret:
            digest = hmac.new(self.secret.encode(), body, "sha256").hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        return headers


def _request_target(target: SplitResult) -> str:
    path = quote(target.path or "/", UNESCAPED)
    return f"{path}?{quote(target.query, UNESCAPED)}" if target.query else path
