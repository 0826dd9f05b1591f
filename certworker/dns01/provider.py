"""
What a DNS provider does, and which provider serves a zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

#: The time limit of one change to a record, in seconds, for every provider.
DEADLINE_SECONDS = 60.0

#: The TTL of a record: the seconds for which a resolver may cache it. Some providers use another TTL.
TTL_SECONDS = 60

#: The key of the provider that serves all zones without a provider of their own.
ANY_ZONE = ""


@dataclass(frozen=True)
class TxtRecord:
    """
    One TXT record that responds to a challenge. Names are lowercase, without a final dot.
    """

    #: The owner of the record: the last target of the CNAMEs, or the `_acme-challenge` name without a CNAME.
    fqdn: str
    #: The digest of the key authorization, base64url, 43 characters.
    value: str
    #: The zone of the owner, found through DNS.
    zone: str
    #: The name that the CA validates, without "*.". Of the providers, only `httpreq` in RAW mode needs this
    #: name, the token, and the key authorization.
    name: str = field(default="", compare=False)
    #: The token of the challenge.
    token: str = field(default="", compare=False)
    #: The key authorization of the challenge.
    key_authorization: str = field(default="", compare=False, repr=False)


class Provider(Protocol):
    """
    A DNS provider, with the credentials of the operator.

    Both methods end within about :data:`DEADLINE_SECONDS`, and do not change other values at the same owner.
    Only acme-dns drops an older value, because it stores no more than two.
    """

    @property
    def label(self) -> str:
        """
        Return the name of the provider in messages and logs, for example "rfc2136" or "lexicon:cloudflare".
        """

    def present(self, record: TxtRecord) -> None:
        """
        Create *record*, unless it exists.

        Raises:
            CertworkerError: One of :mod:`certworker.errors.dns01`.
        """

    def withdraw(self, record: TxtRecord) -> None:
        """
        Delete *record*, if it exists. For acme-dns, do nothing, because it cannot delete a value.

        Raises:
            CertworkerError: One of :mod:`certworker.errors.dns01`.
        """


@dataclass(frozen=True)
class Providers:
    """
    The providers of this worker.
    """

    #: The providers by zone, and under :data:`ANY_ZONE` the provider of all other zones.
    by_zone: Mapping[str, Provider]

    def __iter__(self) -> Iterator[Provider]:
        return iter(self.by_zone.values())

    def serving(self, zone: str) -> Provider | None:
        """
        Return the provider of *zone*, or of the closest zone above it, or of all other zones.

        Return None if no provider serves the zone.
        """
        closest = zone.lower().removesuffix(".")
        while closest:
            if provider := self.by_zone.get(closest):
                return provider
            closest = closest.partition(".")[2]
        return self.by_zone.get(ANY_ZONE)
