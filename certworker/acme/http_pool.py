"""
The connections to a CA, which stay open as long as the worker runs.

A new connection takes longer than all requests of an order. Loading the trusted roots takes 38 ms, so all
connections share one TLS context. urllib3 pools the connections, because a session of `requests` adds a
millisecond per request and stores cookies.

This module opens each connection within the :class:`~certworker.deadline.Deadline` of the exchange. The
deadline includes the name lookup and the TLS handshake. A CA on the Internet must not lead certworker to a
private address.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from requests.utils import (
    DEFAULT_CA_BUNDLE_PATH,
    get_auth_from_url,
    get_environ_proxies,
    select_proxy,
)
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, make_headers
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

from certworker.deadline import Deadline, Place, bind_to_exchanges
from certworker.domains.address import is_loopback, is_public, read_address
from certworker.version import __version__

#: The timeout in seconds for one address of a host, which may have several addresses.
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
    because its responses could then direct requests into private networks. The operator chooses the
    directory.

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
        Check *host* if a proxy resolves the names: only an IP address can be checked.

        Raises:
            PrivateAddress: The CA may not refer to this address.
        """
        address, home = read_address(host), read_address(self._home)
        if address and host != self._home and not is_public(address) and (home is None or is_public(home)):
            raise PrivateAddress(f"{host} is a private address")


def pool_for(url: str, ca_bundle: Path | None, connections: int) -> PoolManager:
    """
    Return a pool of connections that any number of threads may share.

    The pool uses the proxy of the environment for *url* (HTTPS_PROXY, NO_PROXY), unless the host of *url* is
    on the loopback interface. The caller sends each request within
    :meth:`~certworker.deadline.Deadline.begun`.

    Args:
        url: The URL of the directory.
        ca_bundle: The PEM file with the trusted roots; None for the roots of the system and of Mozilla.
        connections: The number of connections that stay open.
    """
    options: dict[str, Any] = {
        "num_pools": 4,
        "maxsize": connections,
        "ssl_context": _context(ca_bundle),
        "socket_options": KEEPALIVE,
        # The CA's texts appear in logs and remedies, which are in English (RFC 8555, section 6.1).
        "headers": {"User-Agent": f"certworker/{__version__}", "Accept-Language": "en"},
    }
    pools = _proxied(url, ca_bundle, options) or PoolManager(**options)
    pools.pool_classes_by_scheme = _pool_classes(AllowedHosts(urlsplit(url).hostname or ""))
    return pools


def _proxied(url: str, ca_bundle: Path | None, options: dict[str, Any]) -> ProxyManager | None:
    # A proxy on another machine would connect to its own loopback interface.
    proxy = None if is_loopback(urlsplit(url).hostname or "") else select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    address = proxy if "://" in proxy else f"http://{proxy}"
    access = _access(*get_auth_from_url(address))
    context = _context_to_proxy(ca_bundle)
    return ProxyManager(address, proxy_headers=access, proxy_ssl_context=context, **options)


def _access(user: str, password: str) -> dict[str, str] | None:
    # The library encodes in Latin-1, which lacks letters that UTF-8 has (RFC 7617, section 2.1).
    access = f"{user}:{password}".encode().decode("latin-1")
    return make_headers(proxy_basic_auth=access) if user else None


def _pool_classes(reach: AllowedHosts) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _open(self, reach)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _open(self, reach)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _open(connection: HTTPConnection, reach: AllowedHosts) -> socket.socket:
    deadline = Deadline.present()
    try:
        places = deadline.places(connection.host, connection.port)
    except OSError as error:
        raise NameResolutionError(connection.host, connection, socket.gaierror(str(error))) from error
    if connection.proxy is None:
        reach.check(connection.host, places, deadline)
    elif connection._tunnel_host:
        reach.check_behind_proxy(connection._tunnel_host)
    try:
        connected = deadline.connect(places, most_seconds=CONNECT_SECONDS)
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, f"Connection to {connection.host} timed out") from error
    except OSError as error:
        raise NewConnectionError(connection, f"Failed to establish a new connection: {error}") from error
    for option in connection.socket_options or ():
        connected.setsockopt(*option)
    return connected


def _context(ca_bundle: Path | None) -> ssl.SSLContext:
    if ca_bundle is not None:
        return bind_to_exchanges(ssl.create_default_context(cafile=ca_bundle))
    context = ssl.create_default_context()
    # A slim image may have no trusted roots.
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return bind_to_exchanges(context)


def _context_to_proxy(ca_bundle: Path | None) -> ssl.SSLContext:
    # Trust the operator's root and those of the system, because the proxy may have a certificate of either.
    context = _context(None)
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return context
