"""
What DNS says of a name, as values: nothing here asks anybody.
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
    What one name of the tree says of CAs.
    """

    #: The name that was asked for: the name itself, or one of its parents.
    name: str
    #: Where the records lie: elsewhere, if that name is an alias.
    owner: str
    records: tuple[Caa, ...] = ()
    #: Why there is no answer, such as SERVFAIL or a time-out; empty if there is one.
    error: str = ""


@dataclass(frozen=True)
class ServerView:
    """
    How one name server sees the name.
    """

    #: Its name or address, for people.
    server: str
    addresses: tuple[str, ...] = ()
    #: The names that the name stands for, from alias to alias.
    aliases: tuple[str, ...] = ()
    #: How long a resolver may go on telling it, in seconds.
    ttl: int = 0
    exists: bool = True
    #: SERVFAIL, REFUSED, no answer …; empty if there is an answer, even "no such name".
    error: str = ""


@dataclass(frozen=True)
class DnsRecords:
    """
    All that was asked about one name.
    """

    name: str
    #: The domain that somebody registered, and whether it is there.
    registered: str = ""
    registered_exists: bool = True
    #: The name servers of the domain itself; what they say counts.
    authoritative: tuple[ServerView, ...] = ()
    #: Those of `_APP_DNS`.
    resolvers: tuple[ServerView, ...] = ()
    #: What this machine's own resolver says; None if it was not asked.
    system: ServerView | None = None
    #: A resolver that refuses the name gives it when told not to check signatures.
    bogus: bool = False
    #: From the name up to its top-level domain.
    caa: tuple[CaaSet, ...] = ()

    @property
    def view(self) -> ServerView | None:
        """
        The view that counts: of the first server that answered, the domain's own before any other.
        """
        views = (*self.authoritative, *self.resolvers, *([self.system] if self.system else ()))
        return next((view for view in views if not view.error), None)

    @property
    def addresses(self) -> tuple[str, ...]:
        """
        Where the CA will look, IPv6 first. Empty: nowhere, or it could not be found out.
        """
        return in_ca_order(self.view.addresses) if self.view else ()


def in_ca_order(addresses: Sequence[str]) -> tuple[str, ...]:
    """
    *addresses* as a CA tries them: IPv6 first. Name servers shuffle them; here each has its place.
    """
    known = {ip_address(address) for address in addresses}
    return tuple(map(str, sorted(known, key=lambda each: (-each.version, int(each)))))
