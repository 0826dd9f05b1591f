"""
Requests to the HTTP API of a DNS provider: JSON by POST, one deadline, a bounded answer, no redirects.

The text of an answer may have secrets in it. Failures show the status only.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from certworker.deadline import Deadline
from certworker.dns01.provider import TxtRecord
from certworker.errors import CertworkerError
from certworker.errors.dns01 import (
    ChangeForbidden,
    CredentialsRejected,
    ProviderFailed,
    ProviderRateLimited,
    ZoneMissing,
)
from certworker.http_dates import retry_after
from certworker.version import __version__

PORTS = {"http": 80, "https": 443}

#: Bytes of an answer. Those of known servers have some hundred.
MAX_ANSWER = 65_536

#: The pause after a rate limit without Retry-After, and the bounds of one with it.
DEFAULT_PAUSE = timedelta(minutes=5)
SHORTEST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(days=1)


@dataclass(frozen=True)
class Answer:
    """
    The answer of an API.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """
        Whether the API has done what the request says.
        """
        return 200 <= self.status < 300

    def json(self) -> Any:
        """
        Return the content as JSON; None if it is something else.
        """
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True)
class HttpApi:
    """
    An API at *url*, to which paths are appended.
    """

    url: str
    #: A PEM file with roots to trust, besides those of the system.
    ca_bundle: Path | None
    #: For one request and its answer.
    deadline_seconds: float

    @property
    def place(self) -> str:
        """
        The host and the port; the rest of the URL may be a secret.
        """
        target = urlsplit(self.url)
        return f"{target.hostname}:{target.port or PORTS[target.scheme]}"

    def post(self, path: str, content: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """
        Send *content* as JSON, and return the answer.

        Raises:
            OSError: There is no complete HTTP answer within the deadline, or TLS fails.
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
            return Answer(answer.status, dict(answer.getheaders()), answer.read(MAX_ANSWER))
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"no HTTP answer ({type(error).__name__})") from None
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


@dataclass(frozen=True)
class Refusals:
    """
    The failures of one provider.
    """

    #: The provider in messages.
    provider: str
    #: The settings with the credentials.
    variables: str

    def of_status(self, answer: Answer, record: TxtRecord, now: datetime) -> CertworkerError:
        """
        Return the failure that the status of *answer* describes.
        """
        reason = f"HTTP {answer.status}"
        zone, fqdn = record.zone, record.fqdn
        if answer.status == 401:
            return CredentialsRejected(provider=self.provider, reason=reason, variables=self.variables)
        if answer.status == 403:
            return ChangeForbidden(
                provider=self.provider, fqdn=fqdn, zone=zone, reason=reason, variables=self.variables
            )
        if answer.status == 404:
            return ZoneMissing(provider=self.provider, zone=zone, reason=reason)
        if answer.status == 429 or (answer.status == 503 and "retry-after" in map(str.lower, answer.headers)):
            headers = {name.title(): value for name, value in answer.headers.items()}
            return self.until(retry_after(headers, now), now)
        if 300 <= answer.status < 400:
            reason += ", a redirect, which is not followed"
        return self.failed(record, reason)

    def until(self, end: datetime | None, now: datetime) -> CertworkerError:
        """
        Return the failure of a limit that ends at *end*, or at an unknown time.
        """
        until = min(max(end or now + DEFAULT_PAUSE, now + SHORTEST_PAUSE), now + LONGEST_PAUSE)
        moment = f"{until:%Y-%m-%d %H:%M:%S} UTC"
        return ProviderRateLimited(provider=self.provider, moment=moment, until=until)

    def failed(self, record: TxtRecord, reason: object) -> CertworkerError:
        """
        Return the failure of any other kind.
        """
        return ProviderFailed(provider=self.provider, fqdn=record.fqdn, reason=reason)
