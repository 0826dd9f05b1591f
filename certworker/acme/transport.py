"""
The way to the CA and back: requests, answers, and what goes wrong below ACME.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from requests.utils import parse_header_links
from urllib3 import BaseHTTPResponse, Retry, Timeout
from urllib3.exceptions import HTTPError, NameResolutionError, SSLError, TimeoutError  # noqa: A004 (urllib3's)

from certworker.acme.connections import connections_to
from certworker.errors import CertworkerError
from certworker.errors.authority import AuthorityUnreachable, NotAcme, TlsIntercepted
from certworker.errors.reach import ContainerResolver

CONNECT_SECONDS = 10
#: Between two pieces of an answer; a CA may think for a while.
READ_SECONDS = 30
#: For one whole request, however many pieces its answer comes in.
REQUEST_SECONDS = 45
#: A chain has a few kilobytes; whatever sends more is not a CA.
LARGEST_ANSWER = 1 << 20

#: A JWS is bound to its URL; it would be refused elsewhere.
STAY = Retry(0)
#: Others may be sent on; what fails is the next attempt's.
FOLLOW = Retry(connect=0, read=0, status=0, other=0, redirect=10, total=None)


@dataclass(frozen=True)
class Reply:
    """
    What a server answered.
    """

    url: str
    status: int
    #: The names of the headers compare without regard to case.
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """
        The body as a JSON object.

        Raises:
            NotAcme: It is something else: the web page of a proxy, mostly.
        """
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            kind = self.headers.get("Content-Type", "no content type")
            raise self.unusable(f"HTTP {self.status}, {kind}")
        return document

    def unusable(self, found: str) -> NotAcme:
        """
        The failure that this answer is not ACME, but *found*.
        """
        return NotAcme(host=_host(self.url), found=found)

    def links(self, relation: str) -> list[str]:
        """
        The targets of the Link headers of that *relation* (RFC 8288): `up`, `alternate`, `terms-of-service`.
        """
        found = parse_header_links(self.headers.get("Link", ""))
        return [link["url"] for link in found if link.get("rel") == relation]


class Transport:
    """
    HTTP to one CA, for any number of threads.

    Args:
        url: The CA's directory; it decides which proxy of the environment is used, if any.
        ca_bundle: The PEM file to trust instead of the system's and Mozilla's roots.
        connections: How many are kept open; more are made when needed, and closed after use.
    """

    def __init__(self, url: str, *, ca_bundle: Path | None, connections: int) -> None:
        self._connections = connections_to(url, ca_bundle, connections)

    def send(self, method: str, url: str, body: bytes | None = None) -> Reply:
        """
        One request and its answer, whatever its status is. *body* is a JWS (RFC 8555, section 6.2).

        Raises:
            ContainerResolver: The CA's name has no address here.
            TlsIntercepted: Its certificate cannot be verified.
            AuthorityUnreachable: It did not answer, or not in time.
            NotAcme: The answer is larger than any of ACME's.
        """
        if "://" not in url:
            raise AuthorityUnreachable(host=_host(url), reason="that is no URL")
        began = time.monotonic()
        try:
            response = self._connections.urlopen(
                method,
                url,
                body=body,
                headers=self._headers(body),
                timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                redirect=method == "GET",
                retries=FOLLOW if method == "GET" else STAY,
                preload_content=False,
            )
            content = _read(response, began + REQUEST_SECONDS)
        except HTTPError as error:
            raise _failure(url, error) from error
        reply = Reply(url, response.status, response.headers, content)
        if len(content) > LARGEST_ANSWER:
            raise reply.unusable("an answer of more than a megabyte")
        return reply

    def _headers(self, body: bytes | None) -> Mapping[str, str]:
        headers = self._connections.headers
        return headers if body is None else {**headers, "Content-Type": "application/jose+json"}


def _read(response: BaseHTTPResponse, deadline: float) -> bytes:
    content = b""
    try:
        # As it comes: a time-out of urllib3 is over with each byte, and a body may come in very many.
        while piece := response.read1(1 << 14, decode_content=True):
            content += piece
            if len(content) > LARGEST_ANSWER:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"no complete answer within {REQUEST_SECONDS} s")
        return content
    finally:
        # A whole answer has given its connection back by now; of any other it must not be used again.
        response.close()
        response.release_conn()


def _failure(url: str, error: HTTPError) -> CertworkerError:
    host = _host(url)
    # The cause is wrapped; its own words are the shortest.
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, NameResolutionError):
        return ContainerResolver(host=host, reason=_short(cause))
    if isinstance(cause, SSLError) and "CERTIFICATE_VERIFY" in str(cause):
        return TlsIntercepted(host=host, reason=_short(cause))
    return AuthorityUnreachable(host=host, reason=_short(cause))


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc or url
    except ValueError:
        return url


def _short(error: Exception) -> str:
    return re.sub(r"^\w+\(.*?\): ", "", str(error)) or type(error).__name__
