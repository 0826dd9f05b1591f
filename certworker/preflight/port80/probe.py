"""
One request that follows redirects as a CA does (RFC 8555, section 8.3; Boulder's `va/http.go`).

The probe resolves the target of each redirect once, checks the addresses, and connects to one of them. A name
server that then changes its answer has no effect (DNS rebinding).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

from certworker.deadline import Deadline
from certworker.domains.address import Address, is_public
from certworker.domains.suffixes import refuse_private
from certworker.errors import CertworkerError
from certworker.preflight.port80.http_get import MAX_BODY, FetchError, FetchFailed, Reply, http_get

#: The timeout and the limits of Boulder.
TIMEOUT_SECONDS = 10.0
MAX_REDIRECTS = 10
MAX_LOCATION = 2_000
REDIRECTS = (301, 302, 307, 308)
PORTS = {"http": 80, "https": 443}

HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


@dataclass(frozen=True)
class Hop:
    """
    One URL, and the address that the probe connected to.
    """

    url: str
    address: Address


@dataclass(frozen=True)
class Fetch:
    """
    The result of a request: a response, or an error on one of the hops.
    """

    hops: tuple[Hop, ...]
    seconds: float
    #: The response of the last hop; None after an error.
    reply: Reply | None
    error: FetchError | None = None
    #: Details of the error.
    detail: str = ""

    def matches(self, expected: str) -> bool:
        """
        Return whether the response has status 200 and the body *expected*, followed at most by whitespace.
        """
        return (
            self.reply is not None
            and self.reply.status == 200
            and len(self.reply.body) <= MAX_BODY
            and self.reply.body.rstrip() == expected.encode("ascii")
        )


@dataclass(frozen=True)
class Probe:
    """
    A client that sends requests by the rules of a CA.
    """

    #: The port of plain HTTP. A public CA uses only port 80.
    port: int
    #: Whether the probe connects only to public addresses.
    public_only: bool
    #: Returns the addresses of a redirect's target.
    resolve: Callable[[str], Sequence[Address]]
    timeout_seconds: float = TIMEOUT_SECONDS

    def fetch(self, name: str, path: str, address: Address) -> Fetch:
        """
        Request `http://NAME/PATH` from *address*, and follow redirects.

        Send no request to an address that is not public if :attr:`public_only` is set.
        """
        first = Hop(f"http://{_host_of(name)}{path}", address)
        if self.public_only and not is_public(address):
            return Fetch((first,), 0, None, FetchError.UNREACHABLE, "it is not a public address")
        return self._follow(first, self.port, {})

    def fetch_inside(self, name: str, path: str, address: Address, port: int) -> Fetch:
        """
        Request `http://NAME/PATH` from *address*, an internal hop.

        After a redirect to *name*, connect to *address* again.
        """
        return self._follow(Hop(f"http://{_host_of(name)}{path}", address), port, {name: address})

    def _follow(self, hop: Hop, port: int, internal: Mapping[str, Address]) -> Fetch:
        began = time.monotonic()
        deadline, hops = Deadline(self.timeout_seconds), [hop]
        try:
            reply = http_get(hop.url, hop.address, port, deadline)
            while reply.status in REDIRECTS:
                hop = self._next(hops, reply, internal)
                hops.append(hop)
                reply = http_get(hop.url, hop.address, self._port(hop.url), deadline)
        except FetchFailed as failure:
            return Fetch(tuple(hops), time.monotonic() - began, None, failure.error, failure.detail)
        return Fetch(tuple(hops), time.monotonic() - began, reply)

    def _next(self, hops: Sequence[Hop], reply: Reply, internal: Mapping[str, Address]) -> Hop:
        source, location = hops[-1].url, reply.headers.get("location", "")
        redirect = f"{source} redirects ({reply.status}) to {location or 'nowhere'}"
        try:
            url = urljoin(source, location)
            parts = urlsplit(url)
            port, host = _port_in(parts), parts.hostname or ""
        except ValueError:
            raise FetchFailed(FetchError.BAD_REDIRECT, redirect) from None
        if not location or len(location) > MAX_LOCATION or parts.scheme not in PORTS:
            raise FetchFailed(FetchError.BAD_REDIRECT, redirect)
        if parts.username is not None or not HOST.fullmatch(host):
            raise FetchFailed(FetchError.BAD_REDIRECT, redirect)
        if port not in (80, 443, self.port):
            raise FetchFailed(FetchError.BAD_REDIRECT, f"{redirect}; a CA uses only ports 80 and 443")
        if url in [hop.url for hop in hops] or len(hops) > MAX_REDIRECTS:
            raise FetchFailed(FetchError.LOOP, redirect)
        return Hop(url, internal.get(host) or self._address(host, redirect))

    def _address(self, host: str, redirect: str) -> Address:
        # After a redirect, a CA tries only one address.
        for address in sorted(self._addresses(host, redirect), key=lambda each: -each.version):
            if not self.public_only or is_public(address):
                return address
        raise FetchFailed(FetchError.BAD_REDIRECT, f"{redirect}, which has no address that a CA connects to")

    def _addresses(self, host: str, redirect: str) -> Sequence[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            if self.public_only:
                refuse_private(host)
        except CertworkerError as failure:
            raise FetchFailed(FetchError.BAD_REDIRECT, f"{redirect}; {failure.message}") from None
        return self.resolve(host)

    def _port(self, url: str) -> int:
        port = _port_in(urlsplit(url))
        return port if port and port != 80 else self.port


def _port_in(parts: SplitResult) -> int | None:
    return PORTS.get(parts.scheme) if parts.port is None else parts.port


def _host_of(name: str) -> str:
    return f"[{name}]" if ":" in name else name
