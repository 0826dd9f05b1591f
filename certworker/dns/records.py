"""
The DNS records of a name, as values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address


@dataclass(frozen=True)
class Caa:
    """
    One CAA record (RFC 8659, section 4.1).
    """

    flags: int
    tag: str
    value: str


@dataclass(frozen=True)
class CaaSet:
    """
    The CAA records of one name in the tree.
    """

    #: The queried name: the name itself, or one of its parents.
    name: str
    #: The owner of the records: another name if the queried one is an alias.
    owner: str
    records: tuple[Caa, ...] = ()
    #: Why there is no answer, such as SERVFAIL or a timeout; empty if there is one.
    error: str = ""


@dataclass(frozen=True)
class ServerView:
    """
    The records of the name at one name server.
    """

    #: The name or address of the server, for messages.
    server: str
    addresses: tuple[str, ...] = ()
    #: The targets of the name, from alias to alias.
    aliases: tuple[str, ...] = ()
    #: Seconds for which a resolver may cache the records.
    ttl: int = 0
    exists: bool = True
    #: SERVFAIL, REFUSED, no answer and so on; empty if there is an answer, even NXDOMAIN.
    error: str = ""


@dataclass(frozen=True)
class DnsRecords:
    """
    All DNS records of one name.
    """

    name: str
    #: The registered domain, and whether it exists.
    registered: str = ""
    registered_exists: bool = True
    #: The name servers of the domain, whose answers count.
    authoritative: tuple[ServerView, ...] = ()
    #: The resolvers of `_APP_DNS`.
    resolvers: tuple[ServerView, ...] = ()
    #: The resolver of this machine; None if it was not queried.
    system: ServerView | None = None
    #: A resolver refuses the name unless it is asked not to validate signatures.
    bogus: bool = False
    #: From the name up to its top-level domain.
    caa: tuple[CaaSet, ...] = ()

    @property
    def view(self) -> ServerView | None:
        """
        Return the view of the first server that answered, the name servers of the domain first.
        """
        views = (*self.authoritative, *self.resolvers, *([self.system] if self.system else ()))
        return next((view for view in views if not view.error), None)

    @property
    def addresses(self) -> tuple[str, ...]:
        """
        Return the addresses that the CA connects to, IPv6 first; empty if there are none or they are unknown.
        """
        return in_ca_order(self.view.addresses) if self.view else ()


def in_ca_order(addresses: Sequence[str]) -> tuple[str, ...]:
    """
    Return *addresses* in the order of a CA, IPv6 first. The order is stable, as name servers shuffle them.
    """
    known = {ip_address(address) for address in addresses}
    return tuple(map(str, sorted(known, key=lambda each: (-each.version, int(each)))))
