"""
The public suffix list, private suffixes, and registered domains.

Reading the list takes 30 ms, so it happens only when a name needs it.
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

#: Suffixes without a registry (RFC 6761, 6762, 7686, 8375, 9476; ICANN's name collisions). The list contains
#: some of them, because of cookies.
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

#: DNS services whose users are one registered domain for the CA, so they share its weekly limit.
SHARED_DOMAINS = frozenset({"nip.io", "sslip.io", "traefik.me", "xip.io"})


def refuse_private(name: str) -> None:
    """
    Raise a failure unless the normalized *name* has a public suffix.

    Raises:
        DomainIsLocalhost: It is this machine.
        NoPublicSuffix: Its suffix is private.
        IsPublicSuffix: It is a public suffix.
        WildcardOfSuffix: It is the wildcard of a public suffix.
        SingleLabel: It has no dot.
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
    Read the lists of suffixes now, so that the first request does not wait half a second.
    """
    _registries()
    _registries_and_hosters()


def shared_suffix(name: str) -> str | None:
    """
    Return the suffix that the normalized *name* shares with other users, such as github.io, or None.
    """
    last_two = ".".join(name.split(".")[-2:])
    if last_two in SHARED_DOMAINS:
        return last_two
    suffix: str | None = _registries_and_hosters().publicsuffix(name)
    return None if suffix == _registries().publicsuffix(name) else suffix


def registered_domain(name: str) -> str:
    """
    Return the registered domain of the normalized *name*, by which a CA counts certificates.

    An IPv4 address counts alone, an IPv6 address with its /64. Below a private suffix two labels count. A
    wildcard counts for the name below which it covers names.
    """
    name = base_name(name)
    try:
        address = ip_address(name)
    except ValueError:
        registered: str | None = _registries().privatesuffix(name)
        return registered or ".".join(name.split(".")[-2:])
    return name if address.version == 4 else str(ip_network((address, 64), strict=False))


@cache
def _registries() -> PublicSuffixList:
    """
    Return the ICANN part of the list. Boulder ignores the private part, so it accepts github.io.
    """
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False, only_icann=True)


@cache
def _registries_and_hosters() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False)
