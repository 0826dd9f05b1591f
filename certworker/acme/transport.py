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

import requests
from urllib3.exceptions import HTTPError, NameResolutionError

from certworker.acme.connections import session_to
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
        found = requests.utils.parse_header_links(self.headers.get("Link", ""))
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
        self._session = session_to(url, ca_bundle, connections)

    def send(self, method: str, url: str, body: bytes | None = None) -> Reply:
        """
        One request and its answer, whatever its status is. *body* is a JWS (RFC 8555, section 6.2).

        Raises:
            ContainerResolver: The CA's name has no address here.
            TlsIntercepted: Its certificate cannot be verified.
            AuthorityUnreachable: It did not answer, or not in time.
            NotAcme: The answer is larger than any of ACME's.
        """
        began = time.monotonic()
        try:
            with self._session.request(
                method,
                url,
                data=body,
                headers={"Content-Type": "application/jose+json"} if body is not None else None,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                # A JWS is bound to its URL; it would be refused elsewhere.
                allow_redirects=method == "GET",
                stream=True,
            ) as response:
                content = _read(response, began + REQUEST_SECONDS)
                reply = Reply(url, response.status_code, response.headers, content)
        except (requests.RequestException, HTTPError) as error:
            raise _failure(url, error) from error
        if len(content) > LARGEST_ANSWER:
            raise reply.unusable("an answer of more than a megabyte")
        return reply


def _read(response: requests.Response, deadline: float) -> bytes:
    content = b""
    # As it comes: a time-out of `requests` is over with each byte, and a body may come in very many.
    while piece := response.raw.read1(1 << 14, decode_content=True):
        content += piece
        if len(content) > LARGEST_ANSWER:
            return content
        if time.monotonic() > deadline:
            raise requests.ReadTimeout(f"no complete answer within {REQUEST_SECONDS} s")
    return content


def _failure(url: str, error: Exception) -> CertworkerError:
    host = _host(url)
    # The cause is wrapped, by urllib3 and then by requests; its own words are the shortest.
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, NameResolutionError):
        return ContainerResolver(host=host, reason=_short(cause))
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY" in str(error):
        return TlsIntercepted(host=host, reason=_short(cause or error))
    return AuthorityUnreachable(host=host, reason=_short(cause or error))


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc or url
    except ValueError:
        return url


def _short(error: Exception) -> str:
    return re.sub(r"^\w+\(.*?\): ", "", str(error)) or type(error).__name__
