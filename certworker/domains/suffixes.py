"""
The public suffix list, private suffixes, and registered and delegated domains.

Reading the list takes 30 ms. It is read for the first name that needs it, unless :func:`load_suffixes` has
already read it.
"""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from certworker.domains.wildcard import base_name
from certworker.errors.config import DomainIsLocalhost
from certworker.errors.name import IsPublicSuffix, NoPublicSuffix, SingleLabel, WildcardOfSuffix

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

#: Suffixes below which no public name can be registered (RFC 6761, 6762, 7686, 8375, 9476; reserved by ICANN;
#: or in common private use). The public suffix list contains some of them, because browsers need them for
#: cookies.
PRIVATE_SUFFIXES = frozenset(
    {
        "alt",
        "arpa",
        "corp",
        "example",
        "home",
        "internal",
        "invalid",
        "lan",
        "local",
        "localhost",
        "mail",
        "onion",
        "test",
    }
)

#: DNS services whose users share one registered domain, and therefore its weekly limit.
SHARED_DOMAINS = frozenset({"nip.io", "sslip.io", "traefik.me", "xip.io"})


def refuse_private(name: str) -> None:
    """
    Raise a failure unless the normalized *name* is below a public suffix.

    Raises:
        DomainIsLocalhost: The name is `localhost`.
        NoPublicSuffix: The suffix of the name is private, or is not in the public suffix list.
        IsPublicSuffix: The name is a public suffix.
        WildcardOfSuffix: The name is the wildcard of a public suffix.
        SingleLabel: The name has no dot.
    """
    if name == "localhost":
        raise DomainIsLocalhost(name=name)
    base = base_name(name)
    top = base.rpartition(".")[2]
    if top in PRIVATE_SUFFIXES:
        raise NoPublicSuffix(name=name, suffix=top)
    suffix = _registries().publicsuffix(base)
    if suffix == base:
        raise IsPublicSuffix(name=name) if base == name else WildcardOfSuffix(name=name, suffix=base)
    if top == name:
        raise SingleLabel(name=name)
    if suffix is None:
        raise NoPublicSuffix(name=name, suffix=top)


def load_suffixes() -> None:
    """
    Read the lists of suffixes now, so that the first request does not wait for them.
    """
    _registries()
    _registries_and_hosters()


def shared_suffix(name: str) -> str | None:
    """
    Return the suffix of the normalized *name* that a service shares among its users, such as github.io.

    Return None if there is none.
    """
    last_two = ".".join(name.split(".")[-2:])
    if last_two in SHARED_DOMAINS:
        return last_two
    suffix: str | None = _registries_and_hosters().publicsuffix(name)
    return None if suffix == _registries().publicsuffix(name) else suffix


def registered_domain(name: str) -> str:
    """
    Return the registered domain of the normalized *name*, by which certworker counts certificates.

    Boulder uses both parts of the list for this limit: each name directly below github.io is a domain of its
    own. Return an IPv4 address or a public suffix unchanged, and the /64 of an IPv6 address. Below a suffix
    that is not in the list, return two labels. For a wildcard, return the registered domain of its base name.
    """
    return _domain_below(_registries_and_hosters(), name)


def delegated_domain(name: str) -> str:
    """
    Return the domain that a registry has delegated for the normalized *name*: github.io for foo.github.io.

    For other names, return the same domain as :func:`registered_domain`.
    """
    return _domain_below(_registries(), name)


def _domain_below(suffixes: PublicSuffixList, name: str) -> str:
    name = base_name(name)
    try:
        address = ip_address(name)
    except ValueError:
        registered: str | None = suffixes.privatesuffix(name)
        if registered is None and suffixes.publicsuffix(name) == name:
            return name
        return registered or ".".join(name.split(".")[-2:])
    return name if address.version == 4 else str(ip_network((address, 64), strict=False))


@cache
def _registries() -> PublicSuffixList:
    """
    Return the ICANN part of the list. Boulder accepts the suffixes of the private part, such as github.io, as
    names.
    """
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False, only_icann=True)


@cache
def _registries_and_hosters() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False)
