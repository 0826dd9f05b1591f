"""
IP addresses as names (RFC 8738).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from certworker.errors.name import IpAddress

Address = IPv4Address | IPv6Address

#: A gateway translates these addresses to IPv4 addresses (RFC 6052).
TRANSLATED = ip_network("64:ff9b::/96")


def is_address(name: str) -> bool:
    """
    Return whether the normalized *name* is an IP address.
    """
    return read_address(name) is not None


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """
    Return the IPv4 or IPv6 address in *text*, or None for any other string.
    """
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_loopback_name(name: str) -> bool:
    """
    Return whether *name* always refers to the local machine (RFC 6761, section 6.3).
    """
    return name == "localhost" or name.endswith(".localhost")


def is_loopback(host: str) -> bool:
    """
    Return whether *host*, a name or an address, is on the loopback interface.
    """
    address = read_address(host)
    if address is None:
        return is_loopback_name(host.lower().removesuffix("."))
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (inner or address).is_loopback


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """
    Return whether *address* belongs to the public Internet.

    A public CA connects only to such addresses. So do the preflight checks for a public CA, because DNS
    answers are untrusted.
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


def accepted_address(given: str, address: IPv4Address | IPv6Address, *, private: bool) -> str:
    """
    Return the shortest form of *address*, which the request contains as *given*.

    Args:
        private: Whether the CA is private, and accepts private addresses.

    Raises:
        IpAddress: The address has a zone, represents an IPv4 address, belongs to no single machine, or is
            not public and *private* is false.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise IpAddress(name=given, reason="its zone is valid only on one machine")
        if address.ipv4_mapped or address.sixtofour or address in TRANSLATED:
            raise IpAddress(name=given, reason="it represents an IPv4 address: send that one")
    # A multicast group has no owner.
    if address.is_multicast or address.is_unspecified or not (private or is_public(address)):
        where = "" if private else " on the Internet"
        raise IpAddress(name=given, reason=f"it is not the address of one machine{where}")
    return str(address)
