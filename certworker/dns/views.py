"""
The answers of one name server, as values that checks use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from certworker.dns.query import SILENT, DnsAnswer, DnsQuestion
from certworker.dns.records import CaaSet, ServerView, in_ca_order
from certworker.dns.udp import Server

PORT = 53

ADDRESSES = ("A", "AAAA")


def domain_and_parents(name: str) -> tuple[str, ...]:
    """
    Return *name* and its parents, up to the top-level domain.
    """
    labels = name.split(".")
    return tuple(".".join(labels[start:]) for start in range(len(labels)))


def server_address(server: Server) -> str:
    """
    Return the address of a server for messages, with an unusual port.
    """
    return server[0] if server[1] == PORT else f"{server[0]}:{server[1]}"


def view_of(label: str, name: str, server: Server, replies: Mapping[DnsQuestion, DnsAnswer]) -> ServerView:
    """
    Return the records of *name* at *server*.

    Args:
        label: The server in messages.
    """
    answers = [replies[DnsQuestion(server, name, kind)] for kind in ADDRESSES]
    addresses = [
        each for answer, kind in zip(answers, ADDRESSES, strict=True) for each in answer.of(name, kind)
    ]
    # A CA needs only one of the two types, if it has an address.
    error = "" if addresses else next((answer.error for answer in answers if answer.error), "")
    return ServerView(
        label,
        in_ca_order(addresses),
        aliases=max((answer.aliases(name) for answer in answers), key=len),
        ttl=max(answer.ttl for answer in answers),
        exists=not any(answer.missing for answer in answers),
        error=error,
    )


def caa_set_of(
    name: str,
    authorities: Sequence[Server],
    resolvers: Sequence[Server],
    replies: Mapping[DnsQuestion, DnsAnswer],
) -> CaaSet:
    """
    Return the CAA records of *name*; those of its own servers count before those of the resolvers.
    """
    asked = [replies.get(DnsQuestion(server, name, "CAA")) for server in (*authorities, *resolvers)]
    answers = [answer for answer in asked if answer]
    for answer in answers:
        owner = (name, *answer.aliases(name))[-1]
        # A server of the domain knows the alias, but not always the records of its target.
        if not answer.error and (owner == name or owner in answer.caa or answer is answers[-1]):
            return CaaSet(name, owner, answer.caa.get(owner, ()))
    return CaaSet(name, name, error=next((answer.error for answer in answers), SILENT))
