"""
What an operator chose, as values: the CA and the HTTP port.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from certworker.hosts import host_and_port_in, with_port

#: Where a URL of HTTP leads without a port.
PORTS = {"http": 80, "https": 443}


def web_url_in(text: str) -> SplitResult:
    """
    Return the parts of the URL in *text*: http or https, a host, a port from 1 to 65535 if there is one.

    Raises:
        ValueError: It is none; the message does not have the text.
    """
    # A URL has them in percent-encoded form only; the library drops line feeds and tabs silently.
    if not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("not a URL")
    try:
        url = urlsplit(text)
    except ValueError:
        raise ValueError("not a URL") from None
    if url.scheme not in PORTS:
        raise ValueError("neither http nor https")
    _, port = host_and_port_in(url.netloc.rpartition("@")[2], PORTS[url.scheme])
    if not port:
        raise ValueError("not a port")
    return url


@dataclass(frozen=True)
class HttpAddress:
    """
    Where the one HTTP port listens.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> HttpAddress:
        """
        The address in *text*: HOST:PORT, with an IPv6 host in brackets.

        Raises:
            ValueError: It is none.
        """
        return cls(*host_and_port_in(text))

    def __str__(self) -> str:
        return with_port(self.host, self.port)


@dataclass(frozen=True)
class CaChoice:
    """
    Which CA signs.
    """

    #: For the names of files and keys.
    label: str
    #: For people.
    title: str
    #: None: the development CA that certworker brings along.
    directory_url: str | None
    kind: Literal["public", "staging", "development", "private"]
    #: The label of the CA that plays the same for practice; None: none is known.
    staging_label: str | None = None

    @property
    def staging(self) -> CaChoice | None:
        """
        The CA that plays the same for practice.
        """
        return next((known for known in KNOWN_CAS if known.label == self.staging_label), None)

    @classmethod
    def named(cls, text: str, *, private_network: bool = False) -> CaChoice:
        """
        The CA that *text* names: one of :data:`KNOWN_CAS`, or the URL of its ACME directory.

        Raises:
            ValueError: It is neither.
        """
        for known in KNOWN_CAS:
            if text.lower() == known.label or text == known.directory_url:
                return known
        url = web_url_in(text)
        if "@" in url.netloc:
            raise ValueError("not an ACME directory")
        path = re.sub(r"/(directory|dir)/?$", "", url.path)
        label = re.sub(r"[^a-z0-9.]+", "-", f"{url.netloc}{path}".lower()).strip("-.")[:100]
        if label in {known.label for known in KNOWN_CAS}:
            # A host may be called "development"; its account is still not the development CA's.
            label += "-acme"
        return cls(label, url.netloc, text, "private" if private_network else "public")

    @property
    def private_names(self) -> bool:
        """
        Whether it may certify names that only a private network knows.
        """
        return self.kind in ("development", "private")


KNOWN_CAS = (
    CaChoice(
        "letsencrypt",
        "Let's Encrypt",
        "https://acme-v02.api.letsencrypt.org/directory",
        "public",
        "letsencrypt-staging",
    ),
    CaChoice(
        "letsencrypt-staging",
        "Let's Encrypt staging",
        "https://acme-staging-v02.api.letsencrypt.org/directory",
        "staging",
    ),
    CaChoice("development", "the development CA", None, "development"),
)
