"""
The addresses of names, and which of them a public CA connects to.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

#: IPv6 addresses that stand for one of IPv4 (RFC 6052): through a gateway they lead to it.
TRANSLATED = ip_network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """
    Whether a public CA would connect to *address*.

    Nor do our own checks connect to any other for it: the answer of a name server is anybody's text.
    """
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in TRANSLATED:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def of_the_loopback(name: str) -> bool:
    """
    Whether *name* is this machine by definition (RFC 6761, section 6.3).
    """
    return name == "localhost" or name.endswith(".localhost")


def addresses_of(host: str) -> Sequence[Address]:
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
