"""
The client of a request: its address, and whether a proxy is in between.

A client can forge the headers of a proxy. So only headers from the proxies in `CERTWORKER_WEB_PROXIES` name
an address.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from flask import Request

from certworker.settings.web import Network
from certworker.web.access.csrf import OWN_SITE

#: The headers of proxies, apart from those that begin with X-Forwarded-.
BY_PROXIES = ("Forwarded", "Via", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP")

#: The name of this machine in the Host header; loopback addresses count as well. A website can give its own
#: name the address 127.0.0.1 (DNS rebinding), but its requests still have that name in this header.
LOCAL_HOST = "localhost"

#: The maximum length of a chain of proxies.
MOST_PROXIES = 20

#: A client usually has a whole IPv6 network with a prefix of this length in bits.
IPV6_PREFIX = 64


@dataclass(frozen=True)
class Client:
    """
    The client of a request.

    Attributes:
        address: The address of the client, or of its proxy if the client is unknown.
        is_by_proxy: Whether the request comes from the address of a trusted proxy.
        is_forwarded: Whether a proxy, trusted or not, has forwarded the request, according to its headers.
        is_local: Whether a program on this machine sends the request, without a proxy, to a local name. A
            request that another site embeds, such as an image, is not local.
        is_secure: Whether the browser uses HTTPS, according to the headers of a proxy.
    """

    address: str
    is_by_proxy: bool
    is_forwarded: bool
    is_local: bool
    is_secure: bool


def client_of(request: Request, proxies: Iterable[Network]) -> Client:
    """
    Return the client of *request*.

    Args:
        proxies: The networks of the trusted proxies.
    """
    peer = _address(request.remote_addr or "")
    by_proxy = peer is not None and _is_in(peer, proxies)
    forwarded = _is_forwarded(request)
    chain = request.headers.get("X-Forwarded-For", "") if by_proxy else ""
    return Client(
        address=str(_client_in(chain, proxies) or peer or "unknown"),
        is_by_proxy=by_proxy,
        is_forwarded=forwarded,
        is_local=(
            peer is not None
            and peer.is_loopback
            and not (forwarded or _is_of_another_site(request))
            and _is_local(request.host)
        ),
        # A forged value affects only the client's own cookie.
        is_secure=request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip() == "https",
    )


def network_of(address: str) -> str:
    """
    Return what the limits count as one client: *address*, or the network of an IPv6 address.
    """
    if ":" not in address:
        return address
    return str(ip_network((address.partition("%")[0], IPV6_PREFIX), strict=False))


def _is_forwarded(request: Request) -> bool:
    names = {name.lower() for name, _ in request.headers}
    return any(name.startswith("x-forwarded-") for name in names) or not names.isdisjoint(
        each.lower() for each in BY_PROXIES
    )


def _is_of_another_site(request: Request) -> bool:
    # A link to the page is harmless. But an image on any site could start the checks, or open streams.
    site, mode = (request.headers.get(f"Sec-Fetch-{name}", "") for name in ("Site", "Mode"))
    return bool(site) and site not in OWN_SITE and mode != "navigate"


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    address = _address(name.removeprefix("[").removesuffix("]"))
    return name.lower() == LOCAL_HOST or (address is not None and address.is_loopback)


def _client_in(chain: str, proxies: Iterable[Network]) -> IPv4Address | IPv6Address | None:
    """
    Return the last address in *chain* that no trusted proxy has.

    Return None if there is none, or if an invalid address follows it.
    """
    for text in reversed(chain.rsplit(",", MOST_PROXIES)):
        address = _address(text.strip())
        if address is None:
            return None
        if not _is_in(address, proxies):
            return address
    return None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        # The zone of an IPv6 address can be any string.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A socket for both versions reports an IPv4 address as an IPv4-mapped IPv6 address.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_in(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
