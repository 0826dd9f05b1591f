"""
One question at port 80, asked as a CA asks it (RFC 8555, section 8.3; Boulder's `va/http.go`).

A name is resolved first, and the address that was judged is the one that is connected to, on each hop: a name
server that answers differently the second time leads nowhere.
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

#: As Boulder has them: what it waits for, follows and accepts.
TIMEOUT_SECONDS = 10.0
MAX_REDIRECTS = 10
MAX_LOCATION = 2_000
REDIRECTS = (301, 302, 307, 308)
PORTS = {"http": 80, "https": 443}

HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


@dataclass(frozen=True)
class Hop:
    """
    One URL, and the address that was asked for it.
    """

    url: str
    address: Address


@dataclass(frozen=True)
class Fetch:
    """
    What came of a question: an answer, or trouble on the way.
    """

    hops: tuple[Hop, ...]
    seconds: float
    #: That of the last stop; None: there was trouble.
    reply: Reply | None
    error: FetchError | None = None
    #: More about the trouble.
    detail: str = ""

    def matches(self, expected: str) -> bool:
        """
        Whether the answer is *expected*, as a CA compares them: only blanks at its end do not count.
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
    Asks web servers by a CA's rules.
    """

    #: The port of plain HTTP; a public CA knows 80 only.
    port: int
    #: Whether only public addresses are ever connected to.
    public_only: bool
    #: The addresses of a name that a redirect leads to.
    resolve: Callable[[str], Sequence[Address]]
    patience_seconds: float = TIMEOUT_SECONDS

    def fetch(self, name: str, path: str, address: Address) -> Fetch:
        """
        Ask *address* for ``http://NAME/PATH``, and follow where it leads.
        """
        first = Hop(f"http://{_bracketed(name)}{path}", address)
        if self.public_only and not is_public(address):
            return Fetch((first,), 0, None, FetchError.UNREACHABLE, "it is not a public address")
        return self._travel(first, self.port, {})

    def fetch_inside(self, name: str, path: str, address: Address, port: int) -> Fetch:
        """
        Ask *address*, one of our own machines, in the place of *name*: also where a redirect leads to it.
        """
        return self._travel(Hop(f"http://{_bracketed(name)}{path}", address), port, {name: address})

    def _travel(self, stop: Hop, port: int, inside: Mapping[str, Address]) -> Fetch:
        began = time.monotonic()
        deadline, stops = Deadline(self.patience_seconds), [stop]
        try:
            reply = http_get(stop.url, stop.address, port, deadline)
            while reply.status in REDIRECTS:
                stop = self._next(stops, reply, inside)
                stops.append(stop)
                reply = http_get(stop.url, stop.address, self._port(stop.url), deadline)
        except FetchFailed as end:
            return Fetch(tuple(stops), time.monotonic() - began, None, end.error, end.detail)
        return Fetch(tuple(stops), time.monotonic() - began, reply)

    def _next(self, stops: Sequence[Hop], reply: Reply, inside: Mapping[str, Address]) -> Hop:
        here, location = stops[-1].url, reply.headers.get("location", "")
        told = f"{here} redirects ({reply.status}) to {location or 'nowhere'}"
        try:
            url = urljoin(here, location)
            parts = urlsplit(url)
            port, host = _port_in(parts), parts.hostname or ""
        except ValueError:
            raise FetchFailed(FetchError.BAD_REDIRECT, told) from None
        if not location or len(location) > MAX_LOCATION or parts.scheme not in PORTS:
            raise FetchFailed(FetchError.BAD_REDIRECT, told)
        if parts.username is not None or not HOST.fullmatch(host):
            raise FetchFailed(FetchError.BAD_REDIRECT, told)
        if port not in (80, 443, self.port):
            raise FetchFailed(FetchError.BAD_REDIRECT, f"{told}; a CA knows the ports 80 and 443 only")
        if url in [stop.url for stop in stops] or len(stops) > MAX_REDIRECTS:
            raise FetchFailed(FetchError.LOOP, told)
        return Hop(url, inside.get(host) or self._address(host, told))

    def _address(self, host: str, told: str) -> Address:
        # After a redirect a CA does not try a second address.
        for address in sorted(self._addresses(host, told), key=lambda each: -each.version):
            if not self.public_only or is_public(address):
                return address
        raise FetchFailed(FetchError.BAD_REDIRECT, f"{told}, which has no address that a CA connects to")

    def _addresses(self, host: str, told: str) -> Sequence[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            if self.public_only:
                refuse_private(host)
        except CertworkerError as failure:
            raise FetchFailed(FetchError.BAD_REDIRECT, f"{told}; {failure.message}") from None
        return self.resolve(host)

    def _port(self, url: str) -> int:
        port = _port_in(urlsplit(url))
        return port if port and port != 80 else self.port


def _port_in(parts: SplitResult) -> int | None:
    return PORTS.get(parts.scheme) if parts.port is None else parts.port


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name
