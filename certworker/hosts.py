"""
The parsing of hosts, ports and URLs in settings: names, and IP addresses with or without brackets.

This module uses only the standard library, because other programs import it together with the producer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

#: The default port of each scheme.
WEB_PORTS = {"http": 80, "https": 443}

#: RFC 1035, section 2.3.4: 255 bytes on the wire are at most 253 characters.
LONGEST_NAME = 253
#: The codec for host names raises an error for empty and longer labels. Container engines allow the
#: underscore.
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?", re.ASCII)


def host_in(text: str) -> str:
    """
    Return the host in *text* without brackets, as sockets require it.

    Raises:
        ValueError: *text* is not a host. The message does not contain the text.
    """
    if text.startswith("[") and text.endswith("]"):
        return _ipv6(text[1:-1])
    if ":" in text:
        return _ipv6(text)
    labels = text.removesuffix(".").split(".")
    if len(text) > LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("not a host")
    return text


def host_and_port_in(text: str, otherwise: int | None = None) -> tuple[str, int]:
    """
    Return the host and the port in *text*: HOST:PORT, with an IPv6 host in brackets.

    Args:
        otherwise: The port if *text* has none; None means that the port is required.

    Raises:
        ValueError: *text* has no valid host or port. The message does not contain the text.
    """
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        if otherwise is None:
            raise ValueError("no port")
        return _of_a_port(text), otherwise
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError("not a port")
    return _of_a_port(host), int(port)


def port_in(text: str) -> int:
    """
    Return the port in *text*, from 1 to 65535.

    Raises:
        ValueError: *text* is not a port.
    """
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ValueError("not a port")
    return int(text)


def with_port(host: str, port: int) -> str:
    """
    Return HOST:PORT, with an IPv6 host in brackets.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def web_url_in(text: str) -> SplitResult:
    """
    Return the parts of the URL in *text*: http or https, a host, and optionally a port from 1 to 65535.

    Raises:
        ValueError: *text* is not such a URL. The message does not contain the text.
    """
    # A URL must percent-encode these characters, and urlsplit silently drops line feeds and tabs.
    if not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("not a URL")
    try:
        url = urlsplit(text)
    except ValueError:
        raise ValueError("not a URL") from None
    if url.scheme not in WEB_PORTS:
        raise ValueError("neither http nor https")
    _, port = host_and_port_in(url.netloc.rpartition("@")[2], WEB_PORTS[url.scheme])
    if not port:
        raise ValueError("not a port")
    return url


class Origin(NamedTuple):
    """
    The scheme, the host and the port of a URL (RFC 6454, section 4).

    Two spellings of one origin are equal: `https://CA.test` and `https://ca.test:443/dir`.
    """

    scheme: str
    #: In lowercase ASCII, without the brackets of an IPv6 address.
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """
        Return the origin of *url*.

        Raises:
            UnicodeError: The host is invalid.
            ValueError: *url* is not a URL with the scheme http or https.
        """
        parts = urlsplit(url)
        if parts.scheme not in WEB_PORTS:
            raise ValueError("neither http nor https")
        host = (parts.hostname or "").encode("idna").decode()
        return cls(parts.scheme, host, parts.port or WEB_PORTS[parts.scheme])


@dataclass(frozen=True)
class HttpAddress:
    """
    A host and a port.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> HttpAddress:
        """
        Return the address in *text*: HOST:PORT, with an IPv6 host in brackets.

        Raises:
            ValueError: *text* is not an address. The message does not contain the text.
        """
        return cls(*host_and_port_in(text))

    @property
    def is_loopback(self) -> bool:
        """
        Return whether only this machine can connect to this address.
        """
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __str__(self) -> str:
        return with_port(self.host, self.port)


def _of_a_port(text: str) -> str:
    # Without brackets, the last group of an IPv6 address would be mistaken for the port.
    if ":" in text and not text.startswith("["):
        raise ValueError("IPv6 without brackets")
    return host_in(text)


def _ipv6(text: str) -> str:
    try:
        # The library accepts any text as the zone after the percent sign.
        if _IPV6.fullmatch(text):
            return str(IPv6Address(text))
    except ValueError:
        pass
    raise ValueError("not an IPv6 address")
