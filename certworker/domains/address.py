"""
IP addresses as names (RFC 8738).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from certworker.errors.name import IpAddress

#: Through a gateway they lead to an address of IPv4 (RFC 6052).
TRANSLATED = ip_network("64:ff9b::/96")


def is_address(name: str) -> bool:
    """
    Whether the normalised *name* is an IP address.
    """
    return read_address(name) is not None


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """
    The address that *text* is in its plain form: four decimal numbers, or IPv6; None for any other text.
    """
    try:
        return ip_address(text)
    except ValueError:
        return None


def of_the_loopback(name: str) -> bool:
    """
    Whether *name* is this machine by definition (RFC 6761, section 6.3).
    """
    return name == "localhost" or name.endswith(".localhost")


def is_loopback(host: str) -> bool:
    """
    Return whether *host*, a name or an address, is on the loopback interface.
    """
    address = read_address(host)
    if address is None:
        return of_the_loopback(host.lower().removesuffix("."))
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (inner or address).is_loopback


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """
    Return whether *address* is one of the public Internet: a public CA connects to no other.

    Nor do the checks of certworker for such a CA: the answer of a name server is untrusted.
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
    *address*, which was written as *given*, in its shortest form.

    Raises:
        IpAddress: Nobody can prove to own it, or it stands for another one.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise IpAddress(name=given, reason="a zone has a meaning on one machine only")
        if address.ipv4_mapped or address.sixtofour or address in TRANSLATED:
            raise IpAddress(name=given, reason="it stands for an address of IPv4: send that one")
    # A group of machines has no owner.
    if address.is_multicast or address.is_unspecified or not (private or address.is_global):
        raise IpAddress(name=given, reason="it is no address of one machine on the Internet")
    return str(address)
