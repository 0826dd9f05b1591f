"""
The DNS providers that an operator chose, their zones, and the names that use DNS-01.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from typing import Literal, cast

from certworker.domains import is_address, normalize
from certworker.errors import CertworkerError
from certworker.settings.fields import Unusable

ProviderKind = Literal["rfc2136", "exec", "httpreq", "acme-dns", "lexicon"]
KINDS = ("rfc2136", "exec", "httpreq", "acme-dns", "lexicon")

#: The name of a provider in dns-lexicon, for example cloudflare.
_LEXICON_NAME = re.compile(r"[a-z0-9]{1,40}")
#: A label that begins with an underscore, such as _acme-challenge (RFC 8552). It may be a zone.
_SERVICE_LABEL = re.compile(r"_[a-z0-9_-]{1,62}")

#: The maximum number of reasons in a message.
MOST_REASONS = 10


@dataclass(frozen=True)
class ProviderChoice:
    """
    A chosen DNS provider.
    """

    kind: ProviderKind
    #: The name of the provider in dns-lexicon; None for another kind.
    lexicon_name: str | None = None
    #: None if it serves each zone that does not have its own provider.
    zone: str | None = None


@dataclass(frozen=True)
class Dns01Names:
    """
    The names that use DNS-01 in addition to wildcards.
    """

    all_names: bool = False
    #: These names and all names below them use DNS-01.
    suffixes: tuple[str, ...] = ()

    def include(self, name: str) -> bool:
        """
        Return whether the normalized *name* uses DNS-01: a wildcard always does, an IP address never does.
        """
        if is_address(name):
            return False
        return name.startswith("*.") or self.all_names or f".{name}".endswith(tuple(self._endings()))

    def _endings(self) -> list[str]:
        return [f".{suffix}" for suffix in self.suffixes]


def providers_in(text: str) -> tuple[ProviderChoice, ...]:
    """
    Return the providers in *text*: KIND or KIND@ZONE, or several of them, separated by commas.

    Raises:
        Unusable: An entry is invalid, or two entries serve the same zone. The message has their numbers.
    """
    found: dict[str | None, tuple[int, ProviderChoice]] = {}
    wrong = []
    for number, entry in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        try:
            choice = _provider(entry)
        except Unusable as error:
            wrong.append(f"entry {number} {error}")
            continue
        first, _ = found.setdefault(choice.zone, (number, choice))
        if first != number:
            place = "the zone of" if choice.zone else "all zones, as does"
            wrong.append(f"entry {number} serves {place} entry {first}: give each a zone of its own")
    if wrong:
        raise Unusable("; ".join(wrong[:MOST_REASONS]))
    return tuple(choice for _, choice in found.values())


def _provider(entry: str) -> ProviderChoice:
    name, at, zone = entry.partition("@")
    kind, colon, lexicon_name = name.strip().lower().partition(":")
    if kind not in KINDS or bool(colon) != (kind == "lexicon"):
        raise Unusable("is not one of them")
    if colon:
        _check_lexicon(lexicon_name)
    return ProviderChoice(cast("ProviderKind", kind), lexicon_name or None, _zone(zone) if at else None)


def _check_lexicon(name: str) -> None:
    if not _LEXICON_NAME.fullmatch(name):
        raise Unusable("is not one of them")
    try:
        known = lexicon_providers()
    except metadata.PackageNotFoundError:
        raise Unusable("needs dns-lexicon: pip install 'certworker[lexicon]'") from None
    if known and name not in known:
        similar = get_close_matches(name, known, n=1)
        hint = f": did you mean lexicon:{similar[0]}?" if similar else ""
        raise Unusable(f"is not a provider of the installed dns-lexicon{hint}")


def lexicon_providers() -> frozenset[str]:
    """
    Return the providers of the installed dns-lexicon; none if its list of files is missing.

    Raises:
        PackageNotFoundError: dns-lexicon is not installed.
    """
    files = metadata.files("dns-lexicon") or []
    modules = {file.stem for file in files if file.parent.name == "providers" and file.suffix == ".py"}
    return frozenset(modules - {"__init__", "base", "auto"})


def _zone(text: str) -> str:
    labels = text.strip().lower().removesuffix(".").split(".")
    services = []
    while _SERVICE_LABEL.fullmatch(labels[0]) and len(labels) > 1:
        services.append(labels.pop(0))
    try:
        name = normalize(".".join(labels), private=True)
    except CertworkerError:
        name = "::"
    if is_address(name):
        raise Unusable("has no zone after @; add one, for example example.com")
    return ".".join([*services, name])


def names_in(text: str) -> Dns01Names:
    """
    Return the names in *text*: `wildcards`, `all`, or suffixes separated by commas.

    Raises:
        ValueError: A suffix is not a domain name.
    """
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    suffixes = dict.fromkeys(_suffix(word) for word in words if word not in ("all", "wildcards"))
    return Dns01Names("all" in words, tuple(suffixes))


def _suffix(text: str) -> str:
    try:
        name = normalize(text.removeprefix("*").removeprefix("."), private=True)
    except CertworkerError:
        raise ValueError("not a name") from None
    if is_address(name):
        raise ValueError("a name, not an IP address")
    return name
