"""
The connections to a CA, kept for the life of the worker.

A new connection costs more than the rest of an order together, and reading the system's trusted roots
costs 38 ms each time; so connections are kept, and the roots are read once, into one TLS context that
all of them share. It is urllib3 that keeps them: the session of `requests` around it costs a millisecond for
each request, and has a jar of cookies that changes with the answers.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from requests.utils import (
    DEFAULT_CA_BUNDLE_PATH,
    get_auth_from_url,
    get_environ_proxies,
    select_proxy,
)
from urllib3 import PoolManager, ProxyManager, make_headers
from urllib3.connection import HTTPConnection

from certworker.version import __version__

#: A firewall may forget a connection in silence while we are idle: the kernel asks after a minute.
KEEPALIVE = (
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


def connections_to(url: str, ca_bundle: Path | None, connections: int) -> PoolManager:
    """
    Connections that any number of threads may share; the arguments are those of the transport.

    They lead through the proxy that the environment names for *url*, if any (HTTPS_PROXY, NO_PROXY).
    """
    options: dict[str, Any] = {
        "num_pools": 4,
        "maxsize": connections,
        "ssl_context": _context(ca_bundle),
        "socket_options": KEEPALIVE,
        "headers": {"User-Agent": f"certworker/{__version__}"},
    }
    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return PoolManager(**options)
    user, password = get_auth_from_url(proxy)
    who = make_headers(proxy_basic_auth=f"{user}:{password}") if user else None
    address = proxy if "://" in proxy else f"http://{proxy}"
    return ProxyManager(address, proxy_headers=who, **options)


def _context(ca_bundle: Path | None) -> ssl.SSLContext:
    if ca_bundle is not None:
        return ssl.create_default_context(cafile=ca_bundle)
    context = ssl.create_default_context()
    # A slim image may have no roots of its own.
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context
