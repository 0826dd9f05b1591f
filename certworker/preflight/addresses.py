"""
The addresses of names, and which of them a public CA connects to.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from certworker.domains.address import is_public, of_the_loopback

__all__ = ["Address", "is_public", "of_the_loopback", "resolve_system"]

Address = IPv4Address | IPv6Address


def resolve_system(host: str) -> Sequence[Address]:
    """
    The addresses of *host* as this machine's own resolver knows them; none if it knows none.
    """
    if of_the_loopback(host):
        return [IPv4Address("127.0.0.1")]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(ip_address(str(address[0])) for *_, address in found))
