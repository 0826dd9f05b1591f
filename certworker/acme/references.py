"""
The URLs that a CA's answers name: absolute or relative (RFC 3986), in JSON, Location or Link (RFC 8288).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin, urlsplit

#: Schemes of the URLs that certworker sends requests to.
SCHEMES = ("http", "https")

#: A header with more links than this one is cut off here.
MOST_LINKS = 100

_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(r'\s*;\s*([^\s=;,"<>]*)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


@dataclass(frozen=True)
class Link:
    """
    One link of a Link header (RFC 8288, section 3).
    """

    target: str
    #: Its relation types, in lower case.
    relations: tuple[str, ...]
    #: What the link starts from, where that is not the answer itself.
    anchor: str | None


def resolved(reference: str, base: str) -> str:
    """
    Return the absolute URL of *reference*, found in an answer of *base* (RFC 3986, section 5.2).

    Raises:
        ValueError: It is no URL that a request can go to.
    """
    url = urldefrag(urljoin(base, reference.strip())).url
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname or parts.port == 0 or not url.isprintable():
        raise ValueError(f"{reference!r} is no URL of HTTP")
    return url


def is_secure(url: str) -> bool:
    """
    Return whether a request to *url* is encrypted.
    """
    return urlsplit(url).scheme == "https"


def links_of(header: str) -> Iterator[Link]:
    """
    Yield the links of a Link *header* (RFC 8288, appendix B.2), as far as it can be read.
    """
    position = 0
    for _ in range(MOST_LINKS):
        target = _TARGET.match(header, position)
        if target is None:
            return
        position = target.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            name, quoted, plain = parameter.groups()
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain or ""
            # Of a repeated parameter the first one counts (section 3.3).
            parameters.setdefault(name.lower(), value)
        relations = tuple(parameters.get("rel", "").lower().split())
        yield Link(target[1].strip(), relations, parameters.get("anchor"))
