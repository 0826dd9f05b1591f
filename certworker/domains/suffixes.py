"""
Which names a public CA knows: the public-suffix list, and the suffixes that nobody can register.

The list takes some 30 ms to read, so that the first name that needs it pays for it, and no command
that has none.
"""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from certworker.errors.config import DomainIsLocalhost
from certworker.errors.name import IsPublicSuffix, NoPublicSuffix, SingleLabel

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

#: Suffixes without a registry (RFC 6761, 6762, 7686, 8375, 9476; ICANN's name collisions). The list
#: has some of them, because cookies need them.
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

#: DNS services whose users are one registered domain to the CA, and so share its weekly limit.
SHARED_DOMAINS = frozenset({"nip.io", "sslip.io", "traefik.me", "xip.io"})


def refuse_private(name: str) -> None:
    """
    Make sure that the normalised *name* stands under a public suffix.

    Raises:
        DomainIsLocalhost: It is this machine.
        NoPublicSuffix: It is known to a private network only.
        IsPublicSuffix: It is a suffix itself.
        SingleLabel: It has no dot.
    """
    if name == "localhost":
        raise DomainIsLocalhost(name=name)
    top = name.rpartition(".")[2]
    if top in PRIVATE_SUFFIXES:
        raise NoPublicSuffix(name=name, suffix=top)
    suffix = _registries().publicsuffix(name)
    if suffix == name:
        raise IsPublicSuffix(name=name)
    if top == name:
        raise SingleLabel(name=name)
    if suffix is None:
        raise NoPublicSuffix(name=name, suffix=top)


def load_suffixes() -> None:
    """
    Read the lists of suffixes now; otherwise whoever asks first waits half a second for them.
    """
    _registries()
    _registries_and_hosters()


def shared_suffix(name: str) -> str | None:
    """
    What the normalised *name* shares with strangers, such as github.io or sslip.io; usually nothing.
    """
    last_two = ".".join(name.split(".")[-2:])
    if last_two in SHARED_DOMAINS:
        return last_two
    suffix: str | None = _registries_and_hosters().publicsuffix(name)
    return None if suffix == _registries().publicsuffix(name) else suffix


def registered_domain(name: str) -> str:
    """
    What a CA counts the certificates of the normalised *name* by: example.org for www.example.org.

    An address stands for itself, one of IPv6 for its /64; under a private suffix the last two labels count.
    """
    try:
        address = ip_address(name)
    except ValueError:
        registered: str | None = _registries().privatesuffix(name)
        return registered or ".".join(name.split(".")[-2:])
    return name if address.version == 4 else str(ip_network((address, 64), strict=False))


@cache
def _registries() -> PublicSuffixList:
    """
    The ICANN part of the list only: boulder ignores the private one, so github.io passes.
    """
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False, only_icann=True)


@cache
def _registries_and_hosters() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False)
