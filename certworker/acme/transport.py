"""
HTTP to the CA: requests, responses with their URLs and links, and transport failures.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from urllib3.exceptions import HTTPError, NameResolutionError, ReadTimeoutError, SSLError

from certworker.acme.http_pool import pool_for
from certworker.acme.reach import PrivateAddress
from certworker.deadline import Deadline
from certworker.errors import CertworkerError, printable
from certworker.errors.ca import CaUnreachable, NotAcme, TlsIntercepted
from certworker.errors.dns import ContainerResolver

logger = logging.getLogger(__name__)

#: The timeout in seconds of one request and its redirects, from the name lookup to the last body. Some CAs
#: need 30 seconds.
REQUEST_SECONDS = 45
#: The maximum number of bytes in the body of a response. A chain has a few kilobytes, so a server that
#: exceeds this maximum is not a CA.
LARGEST_RESPONSE = 1 << 20

#: The maximum number of redirects that a GET follows (RFC 9110, section 15.4). A POST follows none, because
#: its JWS contains the URL.
MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)

#: The schemes of the URLs that certworker sends requests to.
SCHEMES = ("http", "https")

#: The maximum number of links in a header. Further links are ignored.
MAX_LINKS = 100

#: The usual form of a URL, which needs no further parsing: without a query, a fragment, or dots in the path.
_USUAL = re.compile(r"https?://[a-z0-9.-]+(?::[1-9][0-9]{0,3}|:[1-5][0-9]{4})?(?:/[A-Za-z0-9_~-]+)+/?")

_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(r'\s*;\s*([^\s=;,"<>]*)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


@dataclass(frozen=True)
class Reply:
    """
    The response from a server.
    """

    #: The URL of the response, after all redirects.
    url: str
    status: int
    #: The names of headers are case-insensitive.
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """
        Return the body as a JSON object.

        Raises:
            NotAcme: The body is not a JSON object; often, it is a web page from a proxy.
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
        Return the failure for this response, which is not valid in ACME; *found* is the reason.
        """
        return NotAcme(host=_host(self.url), found=found)

    def url_of(self, reference: object, name: str) -> str:
        """
        Return the absolute URL of *reference*, for a later request.

        Args:
            reference: A URL in this response, absolute or relative (RFC 3986).
            name: The name of the member or header, for the failure.

        Raises:
            NotAcme: The reference is missing, is not an HTTP URL, or leads from HTTPS to HTTP.
        """
        try:
            return self._resolve(reference, name)
        except ValueError as error:
            raise self.unusable(str(error)) from None

    def optional_url_of(self, reference: object, name: str) -> str | None:
        """
        Return the same as :meth:`url_of`, or None if *reference* is None or invalid.

        Log a warning about an invalid reference.
        """
        if reference is None:
            return None
        try:
            return self._resolve(reference, name)
        except ValueError as error:
            host = printable(_host(self.url))
            logger.warning("ignoring an invalid URL in the response from %s: %s", host, printable(error))
            return None

    def _resolve(self, reference: object, name: str) -> str:
        if not isinstance(reference, str):
            reason = f"no {name}" if reference is None else f"{name} is not a string"
            raise ValueError(reason)  # noqa: TRY004 (the response is at fault, not the caller)
        try:
            url = resolved(reference, self.url)
        except ValueError:
            raise ValueError(f"{name} is {reference!r}, which is not an HTTP URL") from None
        if is_secure(self.url) and not is_secure(url):
            raise ValueError(f"{name} leads from HTTPS to {reference!r}")
        return url

    @property
    def location(self) -> str:
        """
        Return the URL in the Location header: of the created or found resource, or of a redirect's target.

        RFC 9110, section 10.2.2, defines this header.

        Raises:
            NotAcme: The header is missing or unusable.
        """
        if (reference := self.headers.get("Location")) is None:
            raise self.unusable(f"HTTP {self.status} without a Location header")
        return self.url_of(reference, "Location")

    def links(self, relation: str) -> list[str]:
        """
        Return the targets of the Link headers with *relation* (RFC 8288), for example `alternate`.

        Ignore links from other resources (`anchor`), and targets that are not HTTP URLs.
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
        url: The URL of the directory. It determines whether a proxy from the environment is used, and which.
        ca_bundle: The PEM file with the trusted roots; None for the roots of the system and of Mozilla.
        connections: The maximum number of idle connections to each host. Further connections are closed
            after use.
    """

    def __init__(self, url: str, *, ca_bundle: Path | None, connections: int) -> None:
        self._host = _host(url)
        self._secure = is_secure(url)
        self._pool = pool_for(url, ca_bundle, connections)

    def send(self, method: str, url: str, body: bytes | None = None) -> Reply:
        """
        Send one request, and return the response with any status. A GET follows redirects.

        Args:
            body: A JWS (RFC 8555, section 6.2); None for a request without a body.

        Raises:
            ContainerResolver: The name of the CA, or of its proxy, does not resolve.
            TlsIntercepted: The TLS certificate of the server is not trusted.
            CaUnreachable: The CA cannot be reached, or does not respond in time.
            NotAcme: The URL or a redirect is not allowed, there are too many redirects, or the response is
                too large.
        """
        deadline = Deadline(REQUEST_SECONDS)
        with deadline.begun():
            for _ in range(1 + MAX_REDIRECTS):
                self._check(url)
                reply = self._exchange(method, url, body)
                if method != "GET" or reply.status not in REDIRECTS:
                    return reply
                url = reply.location
        raise reply.unusable(f"more than {MAX_REDIRECTS} redirects")

    def _check(self, url: str) -> None:
        """
        Raise NotAcme if *url*, which may come from a file or from Redis, is not allowed for this CA.
        """
        try:
            usable = resolved(url, url) and (is_secure(url) or not self._secure)
        except ValueError:
            usable = False
        if not usable:
            raise NotAcme(host=self._host, found=f"the URL {url!r}, which is not allowed")

    def _exchange(self, method: str, url: str, body: bytes | None) -> Reply:
        headers = {} if body is None else {"Content-Type": "application/jose+json"}
        try:
            response = self._pool.exchange(method, url, headers, body, LARGEST_RESPONSE)
        except PrivateAddress as error:
            raise NotAcme(host=self._host, found=f"the URL {url!r}: {error}") from error
        except HTTPError as error:
            raise _failure(url, error) from error
        except UnicodeError as error:
            raise CaUnreachable(host=_host(url), reason=str(error)) from error
        reply = Reply(url, response.status, response.headers, response.body)
        if len(response.body) > LARGEST_RESPONSE:
            raise reply.unusable("a response of more than a megabyte")
        return reply


@dataclass(frozen=True)
class Link:
    """
    One link from a Link header (RFC 8288, section 3).
    """

    target: str
    #: The relation types, in lower case.
    relations: tuple[str, ...]
    #: The reference to the resource that has the link; None for the requested resource itself.
    anchor: str | None


def resolved(reference: str, base: str) -> str:
    """
    Return the absolute URL of *reference* in a response from *base* (RFC 3986, section 5.2).

    Raises:
        ValueError: The reference is not an HTTP URL.
    """
    if _USUAL.fullmatch(reference):
        return reference
    url = urldefrag(urljoin(base, reference.strip())).url
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname or parts.port == 0 or not url.isprintable():
        raise ValueError(f"{reference!r} is not an HTTP URL")
    return url


def is_secure(url: str) -> bool:
    """
    Return whether a request to *url* is encrypted.
    """
    return url[:6].lower() == "https:"


def links_of(header: str) -> Iterator[Link]:
    """
    Yield the links of a Link *header* (RFC 8288, appendix B.2) up to the first invalid one.

    Yield at most :data:`MAX_LINKS` links.
    """
    position = 0
    for _ in range(MAX_LINKS):
        target = _TARGET.match(header, position)
        if target is None:
            return
        position = target.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            name, quoted, plain = parameter.groups()
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain or ""
            # Of repeated parameters, the first applies (section 3.3).
            parameters.setdefault(name.lower(), value)
        relations = tuple(parameters.get("rel", "").lower().split())
        yield Link(target[1].strip(), relations, parameters.get("anchor"))


def _failure(url: str, error: HTTPError) -> CertworkerError:
    host = _host(url)
    # The inner error shows the cause, and has a shorter text.
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, NameResolutionError):
        return ContainerResolver(host=host, reason=_short(cause))
    if isinstance(cause, SSLError) and "CERTIFICATE_VERIFY" in str(cause):
        return TlsIntercepted(host=host, reason=_short(cause))
    if isinstance(cause, ReadTimeoutError):
        return CaUnreachable(host=host, reason=f"no complete response within {REQUEST_SECONDS} s")
    return CaUnreachable(host=host, reason=_short(cause))


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc or url
    except ValueError:
        return url


def _short(error: Exception) -> str:
    return re.sub(r"^\w+\(.*?\): ", "", str(error)) or type(error).__name__
