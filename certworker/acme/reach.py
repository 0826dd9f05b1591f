"""
The addresses that a request to a CA may go to, and new connections to them.

A CA on the Internet must not lead certworker to a private address.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

from certworker.deadline import Deadline, Place
from certworker.domains.address import is_public, read_address

#: The maximum time in seconds for a connection to one address of a host, which may have several addresses.
CONNECT_SECONDS = 10

#: A firewall may drop an idle connection silently, so the kernel probes it after a minute.
KEEPALIVE = (
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


class PrivateAddress(HTTPError):
    """
    A CA on the Internet refers to a host with a private address.
    """


class AllowedHosts:
    """
    The hosts that the responses of a CA may refer to.

    A CA whose directory has a private address may refer to other private addresses. Any other CA may not,
    because its responses could then direct requests into private networks. The host of the directory is
    always allowed, because the operator chooses it.

    Args:
        home: The host of the directory of the CA.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        #: Whether the host of the directory has a private address; None before it is resolved.
        self._is_private: bool | None = None

    def check(self, host: str, places: Sequence[Place], deadline: Deadline) -> None:
        """
        Raise an error unless a request may go to *host*, which has the addresses *places*.

        Raises:
            PrivateAddress: The CA may not refer to this host.
            OSError: The host of the directory cannot be resolved.
        """
        private = [place.ip for place in places if not is_public(place.ip)]
        if host == self._home:
            self._is_private = bool(private)
        if not private or host == self._home:
            return
        if self._is_private is None:
            self.check(self._home, deadline.places(self._home, 0), deadline)
        if not self._is_private:
            raise PrivateAddress(f"{host} has the private address {private[0]}")

    def check_behind_proxy(self, host: str) -> None:
        """
        Raise an error unless a request through a proxy may go to *host*.

        Only an IP address can be checked, because the proxy resolves the names. If the host of the directory
        is a name, its address counts as public.

        Raises:
            PrivateAddress: The CA may not refer to this address.
        """
        address, home = read_address(host), read_address(self._home)
        if address and host != self._home and not is_public(address) and (home is None or is_public(home)):
            raise PrivateAddress(f"{host} is a private address")


def connect(host: str, port: int, allowed: AllowedHosts | None) -> socket.socket:
    """
    Connect to *host* within the deadline of the current exchange.

    Args:
        allowed: The hosts that requests may go to; None for a proxy.

    Raises:
        urllib3.exceptions.HTTPError: The host has no address, or no address accepts in time.
        PrivateAddress: The CA may not refer to this host.
        OSError: The host of the directory cannot be resolved.
    """
    deadline, shown = Deadline.present(), f"Connection(host={host!r}, port={port})"
    try:
        places = deadline.places(host, port)
    except OSError as error:
        raise NameResolutionError(host, shown, socket.gaierror(str(error))) from error  # type: ignore[arg-type]  # it is only shown
    if allowed:
        allowed.check(host, places, deadline)
    try:
        connected = deadline.connect(places, most_seconds=CONNECT_SECONDS)
    except TimeoutError as error:
        raise ConnectTimeoutError(shown, f"Connection to {host} timed out") from error
    except OSError as error:
        raise NewConnectionError(shown, f"Failed to establish a new connection: {error}") from error  # type: ignore[arg-type]  # it is only shown
    for option in KEEPALIVE:
        connected.setsockopt(*option)
    return connected
