"""
The connections to a CA, kept for the life of the worker.

A new connection costs more than the rest of an order together, and reading the system's trusted roots
costs 38 ms each time; so connections are kept, and the roots are read once, into one TLS context that
all of them share. `requests` itself would read them again for each connection.
"""

from __future__ import annotations

import socket
import ssl
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
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


def session_to(url: str, ca_bundle: Path | None, connections: int) -> requests.Session:
    """
    A session that any number of threads may share; the arguments are those of the transport.
    """
    session = requests.Session()
    # Otherwise each request looks through the environment and ~/.netrc again, and REQUESTS_CA_BUNDLE
    # would win over the bundle that was set for this CA.
    session.trust_env = False
    session.proxies.update(requests.utils.get_environ_proxies(url))
    # A jar of cookies is the one thing in a session that changes with the answers.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = f"certworker/{__version__}"
    adapter = _Adapter(_context(ca_bundle), connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Adapter(HTTPAdapter):
    """
    Connections with one TLS context for all of them.
    """

    def __init__(self, context: ssl.SSLContext, connections: int) -> None:
        self._options: dict[str, Any] = {"ssl_context": context, "socket_options": KEEPALIVE}
        super().__init__(pool_connections=4, pool_maxsize=connections)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **(options | self._options))

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, **(options | self._options))

    def cert_verify(self, *arguments: Any) -> None:
        # The context verifies, chain and name; here `requests` would have the roots read again.
        pass


def _context(ca_bundle: Path | None) -> ssl.SSLContext:
    if ca_bundle is not None:
        return ssl.create_default_context(cafile=ca_bundle)
    context = ssl.create_default_context()
    # A slim image may have no roots of its own.
    context.load_verify_locations(requests.utils.DEFAULT_CA_BUNDLE_PATH)
    return context
