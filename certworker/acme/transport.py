"""
The way to the CA and back: requests, answers, and what goes wrong below ACME.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, NameResolutionError, ReadTimeoutError, SSLError

from certworker.acme.http_pool import PrivateAddress, pool_for
from certworker.deadline import Deadline
from certworker.errors import CertworkerError
from certworker.errors.ca import CaUnreachable, NotAcme, TlsIntercepted
from certworker.errors.dns import ContainerResolver

#: For one whole request: name, connection, TLS, redirects, headers and body. Some CAs take half a minute.
REQUEST_SECONDS = 45
#: A chain has a few kilobytes; whatever sends more is not a CA.
LARGEST_ANSWER = 1 << 20

#: A GET is redirected so often at most (RFC 9110, section 15.4). A JWS names its URL and stays there.
MOST_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)

#: Schemes of the URLs that certworker sends requests to.
SCHEMES = ("http", "https")

#: A header with more links than this one is cut off here.
MOST_LINKS = 100

_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(r'\s*;\s*([^\s=;,"<>]*)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


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

    def url_of(self, reference: object, name: str) -> str:
        """
        Return the absolute URL of *reference*, where certworker sends a request next.

        Args:
            reference: A URL of this answer, absolute or relative to it (RFC 3986).
            name: What the answer calls it, for the failure.

        Raises:
            NotAcme: It is no URL of HTTP, or leads from HTTPS to HTTP.
        """
        if not isinstance(reference, str):
            raise self.unusable(f"no {name}")
        try:
            url = resolved(reference, self.url)
        except ValueError:
            raise self.unusable(f"{name} is {reference!r}, which is no URL") from None
        if is_secure(self.url) and not is_secure(url):
            raise self.unusable(f"{name} leads from HTTPS to {reference!r}")
        return url

    @property
    def location(self) -> str:
        """
        The URL of the resource that the request made or found (RFC 9110, section 10.2.2).

        Raises:
            NotAcme: There is none, or it cannot be used.
        """
        if (reference := self.headers.get("Location")) is None:
            raise self.unusable(f"HTTP {self.status} without a Location header")
        return self.url_of(reference, "Location")

    def links(self, relation: str) -> list[str]:
        """
        Return the targets of the Link headers of that *relation* (RFC 8288): `alternate`, `terms-of-service`.

        Links that start from another resource than this answer, and targets that are no URLs, are left out.
        """
        found = []
        for link in links_of(self.headers.get("Link", "")):
            with suppress(ValueError):
                if relation in link.relations and resolved(link.anchor or "", self.url) == self.url:
                    found.append(resolved(link.target, self.url))
        return found


class Transport:
    """
    HTTP to one CA, for any number of threads.

    Args:
        url: The CA's directory; it decides which proxy of the environment is used, if any.
        ca_bundle: The PEM file to trust instead of the system's and Mozilla's roots.
        connections: How many are kept open; more are made when needed, and closed after use.
    """

    def __init__(self, url: str, *, ca_bundle: Path | None, connections: int) -> None:
        self._host = _host(url)
        self._secure = is_secure(url)
        self._connections = pool_for(url, ca_bundle, connections)

    def send(self, method: str, url: str, body: bytes | None = None) -> Reply:
        """
        Send one request and return its answer, whatever its status is. A GET follows redirects.

        Args:
            body: A JWS (RFC 8555, section 6.2).

        Raises:
            ContainerResolver: The CA's name has no address here.
            TlsIntercepted: Its certificate cannot be verified.
            CaUnreachable: It did not answer, or not in time.
            NotAcme: The answer is larger than any of ACME's, or leads to a URL that is not used.
        """
        deadline = Deadline(REQUEST_SECONDS)
        with deadline.begun():
            for _ in range(1 + MOST_REDIRECTS):
                self._check(url)
                reply = self._exchange(method, url, body)
                if method != "GET" or reply.status not in REDIRECTS:
                    return reply
                url = reply.location
        raise reply.unusable(f"more than {MOST_REDIRECTS} redirects")

    def _check(self, url: str) -> None:
        """
        Raise NotAcme if *url*, which may be an old one from a file, is none that this CA may name.
        """
        try:
            usable = resolved(url, url) and (is_secure(url) or not self._secure)
        except ValueError:
            usable = False
        if not usable:
            raise NotAcme(host=self._host, found=f"the URL {url!r}, which is not used")

    def _exchange(self, method: str, url: str, body: bytes | None) -> Reply:
        try:
            response = self._connections.urlopen(
                method,
                url,
                body=body,
                headers=self._headers(body),
                # The deadline ends each call on its way.
                timeout=REQUEST_SECONDS,
                redirect=False,
                retries=False,
                preload_content=False,
            )
            content = _read(response)
        except PrivateAddress as error:
            raise NotAcme(host=self._host, found=f"the URL {url!r}: {error}") from error
        except HTTPError as error:
            raise _failure(url, error) from error
        except UnicodeError as error:
            raise CaUnreachable(host=_host(url), reason=str(error)) from error
        reply = Reply(url, response.status, response.headers, content)
        if len(content) > LARGEST_ANSWER:
            raise reply.unusable("an answer of more than a megabyte")
        return reply

    def _headers(self, body: bytes | None) -> Mapping[str, str]:
        headers = self._connections.headers
        return headers if body is None else {**headers, "Content-Type": "application/jose+json"}


@dataclass(frozen=True)
class Link:
    """
    One link of a Link header (RFC 8288, section 3).
    """

    target: str
    #: Its relation types, in lower case.
    relations: tuple[str, ...]
    #: What the link starts from, where that is not the answer itself.
    anchor: str | None


def resolved(reference: str, base: str) -> str:
    """
    Return the absolute URL of *reference*, found in an answer of *base* (RFC 3986, section 5.2).

    Raises:
        ValueError: It is no URL that a request can go to.
    """
    url = urldefrag(urljoin(base, reference.strip())).url
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname or parts.port == 0 or not url.isprintable():
        raise ValueError(f"{reference!r} is no URL of HTTP")
    return url


def is_secure(url: str) -> bool:
    """
    Return whether a request to *url* is encrypted.
    """
    return urlsplit(url).scheme == "https"


def links_of(header: str) -> Iterator[Link]:
    """
    Yield the links of a Link *header* (RFC 8288, appendix B.2), as far as it can be read.
    """
    position = 0
    for _ in range(MOST_LINKS):
        target = _TARGET.match(header, position)
        if target is None:
            return
        position = target.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            name, quoted, plain = parameter.groups()
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain or ""
            # Of a repeated parameter the first one counts (section 3.3).
            parameters.setdefault(name.lower(), value)
        relations = tuple(parameters.get("rel", "").lower().split())
        yield Link(target[1].strip(), relations, parameters.get("anchor"))


def _read(response: BaseHTTPResponse) -> bytes:
    content = b""
    try:
        while piece := response.read1(1 << 14, decode_content=True):
            content += piece
            if len(content) > LARGEST_ANSWER:
                break
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
    if isinstance(cause, ReadTimeoutError):
        return CaUnreachable(host=host, reason=f"no complete answer within {REQUEST_SECONDS} s")
    return CaUnreachable(host=host, reason=_short(cause))


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc or url
    except ValueError:
        return url


def _short(error: Exception) -> str:
    return re.sub(r"^\w+\(.*?\): ", "", str(error)) or type(error).__name__
