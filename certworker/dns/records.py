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
    The CAA records of one name, which is the queried name or a parent.
    """

    #: The queried name or one of its parents.
    name: str
    #: The owner of the records: another name if the name is an alias.
    owner: str
    records: tuple[Caa, ...] = ()
    #: The reason for a missing answer, such as SERVFAIL or a timeout; empty if there is an answer.
    error: str = ""


@dataclass(frozen=True)
class ServerView:
    """
    The addresses of a name at one name server or resolver.
    """

    #: The name or address of the server, for messages.
    server: str
    addresses: tuple[str, ...] = ()
    #: The chain of alias targets that begins at the name.
    aliases: tuple[str, ...] = ()
    #: How many seconds a resolver may cache the records; 0 without records.
    ttl: int = 0
    exists: bool = True
    #: The error, such as SERVFAIL, REFUSED, or "no answer"; empty for an answer, including NXDOMAIN.
    error: str = ""


@dataclass(frozen=True)
class DnsRecords:
    """
    The DNS records of one name that the preflight checks need: its addresses and CAA records.
    """

    name: str
    #: The domain that a registry has delegated, and whether it exists. For an IP address: the address itself.
    #: Empty if only this machine's resolver was queried.
    registered: str = ""
    registered_exists: bool = True
    #: The most specific zone of the name that the resolvers know; empty if they know none.
    zone: str = ""
    #: The views of some authoritative name servers of that zone.
    authoritative: tuple[ServerView, ...] = ()
    #: The views of the resolvers in `_APP_DNS`.
    resolvers: tuple[ServerView, ...] = ()
    #: The view of this machine's resolver; None if it was not queried. For an IP address: the address itself.
    system: ServerView | None = None
    #: Whether the DNSSEC validation fails: the resolvers answer only without validation.
    bogus: bool = False
    #: The CAA records of the name and its parents, up to the top-level domain.
    caa: tuple[CaaSet, ...] = ()

    @property
    def view(self) -> ServerView | None:
        """
        Return the view of the first server that answered, starting with the name servers; None if none did.
        """
        views = (*self.authoritative, *self.resolvers, *([self.system] if self.system else ()))
        return next((view for view in views if not view.error), None)

    @property
    def addresses(self) -> tuple[str, ...]:
        """
        Return the known addresses that the CA connects to, IPv6 first.
        """
        return in_ca_order(self.view.addresses) if self.view else ()


def in_ca_order(addresses: Sequence[str]) -> tuple[str, ...]:
    """
    Return *addresses* in the order in which a CA tries them, IPv6 first.

    The order is stable, although name servers shuffle the addresses.
    """
    known = {ip_address(address) for address in addresses}
    return tuple(map(str, sorted(known, key=lambda each: (-each.version, int(each)))))
