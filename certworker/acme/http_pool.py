"""
Persistent connections to a CA, directly or through a proxy.

A new connection needs several round trips before its first request. Loading the trusted roots takes 38 ms, so
all CAs without roots of their own share one TLS context. The :class:`~certworker.deadline.Deadline` of an
exchange also applies to its new connection: the name lookup, the connection attempts and the TLS handshake.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import certifi
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, ProxyManager, make_headers
from urllib3.connection import HTTPConnection, HTTPSConnection

from certworker.acme.direct_pool import DirectPool, Message
from certworker.acme.reach import AllowedHosts, connect
from certworker.deadline import bind_to_exchanges
from certworker.domains.address import is_loopback
from certworker.version import __version__

#: The headers of each request (RFC 8555, section 6.1). The CA's texts appear in logs and messages, which are
#: in English.
HEADERS = {"User-Agent": f"certworker/{__version__}", "Accept-Language": "en"}


class Pool(Protocol):
    """
    Persistent connections for any number of threads.
    """

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, most_bytes: int
    ) -> Message:
        """
        Send a request, and return the response. Stop reading its body after more than *most_bytes* bytes.

        The caller sets the deadline of the exchange.

        Raises:
            urllib3.exceptions.HTTPError: There is no valid response in time.
            PrivateAddress: The CA may not refer to this host.
            UnicodeError: The host is invalid.
        """


class ProxiedPool:
    """
    Persistent connections through the proxy of *manager*.
    """

    def __init__(self, manager: ProxyManager) -> None:
        self._manager = manager

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, most_bytes: int
    ) -> Message:
        """
        Send a request; see :meth:`Pool.exchange`.
        """
        response = self._manager.urlopen(
            method,
            url,
            body=body,
            headers={**HEADERS, **headers},
            redirect=False,
            retries=False,
            preload_content=False,
        )
        return Message(response.status, response.headers, _read(response, most_bytes))


def pool_for(url: str, ca_bundle: Path | None, connections: int) -> Pool:
    """
    Return a pool of connections that any number of threads may share.

    The pool uses the proxy from the environment for *url* (HTTPS_PROXY, NO_PROXY), unless the host of *url*
    is on the loopback interface. The caller sends each request within
    :meth:`~certworker.deadline.Deadline.begun`.

    Args:
        url: The URL of the directory.
        ca_bundle: The PEM file with the trusted roots; None for the roots of the system and of Mozilla.
        connections: The maximum number of idle connections to each host.
    """
    host = urlsplit(url).hostname or ""
    context, allowed = _context(ca_bundle), AllowedHosts(host)
    # A proxy on another machine would connect to its own loopback interface.
    proxy = None if is_loopback(host) else _proxy_for(url)
    if proxy is None:
        return DirectPool(context, HEADERS, connections, allowed)
    address, access = proxy
    manager = ProxyManager(
        address,
        proxy_headers=access,
        proxy_ssl_context=_context_to_proxy(ca_bundle),
        num_pools=4,
        maxsize=connections,
        ssl_context=context,
    )
    manager.pool_classes_by_scheme = _pool_classes(allowed)
    return ProxiedPool(manager)


def _proxy_for(url: str) -> tuple[str, dict[str, str] | None] | None:
    """
    Return the URL of the environment's proxy for *url* and the headers for authentication; None: no proxy.
    """
    if not any(value and name.lower().endswith("_proxy") for name, value in os.environ.items()):
        return None
    # Only workers with a proxy need this library, whose import takes 2.5 MB of memory.
    from requests.utils import get_auth_from_url, get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return None
    address = proxy if "://" in proxy else f"http://{proxy}"
    return address, _access(*get_auth_from_url(address))


def _access(user: str, password: str) -> dict[str, str] | None:
    # urllib3 encodes the credentials in Latin-1, which lacks many letters. Proxies expect UTF-8 (RFC 7617,
    # section 2.1).
    access = f"{user}:{password}".encode().decode("latin-1")
    return make_headers(proxy_basic_auth=access) if user else None


def _pool_classes(allowed: AllowedHosts) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect_to_proxy(self, allowed)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect_to_proxy(self, allowed)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connect_to_proxy(connection: HTTPConnection, allowed: AllowedHosts) -> socket.socket:
    if connection._tunnel_host:
        allowed.check_behind_proxy(connection._tunnel_host)
    return connect(connection.host, connection.port, None)


def _read(response: BaseHTTPResponse, most_bytes: int) -> bytes:
    content = b""
    try:
        while piece := response.read1(1 << 14, decode_content=True):
            content += piece
            if len(content) > most_bytes:
                break
        return content
    finally:
        # The pool can reuse the connection after a complete response, but must not after an incomplete one.
        response.close()
        response.release_conn()


def _context(ca_bundle: Path | None) -> ssl.SSLContext:
    return public_context() if ca_bundle is None else _new_context(ca_bundle)


@cache
def public_context() -> ssl.SSLContext:
    """
    Return the shared TLS context, which trusts the roots of the system and of Mozilla.
    """
    return _new_context(None)


def _new_context(ca_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_bundle)
    if ca_bundle is None:
        # A slim image may have no trusted roots.
        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return bind_to_exchanges(context)


def _context_to_proxy(ca_bundle: Path | None) -> ssl.SSLContext:
    # Trust both the operator's roots and the public ones, because the certificate of the proxy may come from
    # either.
    context = _new_context(None)
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return context
