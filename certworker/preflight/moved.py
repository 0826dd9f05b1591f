"""
Checks whether a name in service still points to this server.

::

    a resolver returns the target ────────────────────────────────────────► HERE
    the authoritative servers ──┬── fail, do not answer, or disagree ─────► UNKNOWN
                                ├── return the target ────────────────────► HERE
                                ├── return no address ────────────────────► ELSEWHERE
                                └── return other addresses
          a test response ──────┬── is served (for example by a CDN) ─────► HERE
                                ├── the target does not serve it either ──► UNKNOWN
                                ├── another server replies, and no CDN ───► ELSEWHERE
                                └── no other server replies, or a CDN ────► UNKNOWN

The settings contain the target: a name, addresses, or both. If the name of the target has no address, the
result is UNKNOWN. The check does not apply to all names, for example not to those that use DNS-01.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, partial
from ipaddress import ip_address

from certworker.challenges.challenge import CHALLENGE_PATH, Http01Challenge
from certworker.dns.query import SILENT
from certworker.dns.records import DnsRecords, ServerView, in_ca_order
from certworker.dns.resolver import Resolver
from certworker.domains import is_address, is_wildcard
from certworker.domains.address import Address
from certworker.errors import printable
from certworker.preflight.port80.check import MAX_ADDRESSES, probe_for
from certworker.preflight.port80.diagnosis import intermediary
from certworker.preflight.port80.probe import Fetch
from certworker.preflight.target import Target, target_of
from certworker.settings import Settings
from certworker.ttl_cache import TtlCache

#: A proxy or CDN may return these statuses, whichever server is behind it.
INDEFINITE = frozenset({401, 403, 429})

#: Intermediaries that host sites. Any other intermediary may forward requests other than the test to this
#: server.
HOSTS = ("Netlify", "Vercel")

#: How long the addresses of the target are cached. The checks of all names need them.
TARGET_TTL_SECONDS = 60.0


class Place(Enum):
    """
    Where a name points.
    """

    HERE = "here"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Whereabouts:
    """
    Where a name points. *found* shows the records of the authoritative servers; it may be empty.
    """

    place: Place
    found: str = ""


HERE, UNKNOWN = Whereabouts(Place.HERE), Whereabouts(Place.UNKNOWN)


@dataclass(frozen=True)
class TargetCheck:
    """
    Checks whether names in service still point to the target.
    """

    settings: Settings
    resolver: Resolver
    #: Publishes a test response for a name within the block.
    published: Callable[[str], AbstractContextManager[Http01Challenge]]
    _of_target: TtlCache[str, tuple[str, ...]] = field(default_factory=TtlCache, repr=False)

    @cached_property
    def target(self) -> Target:
        """
        Return the target of the settings.
        """
        return target_of(self.settings.targets, private=self.settings.authority.private_names)[0]

    @cached_property
    def _main_domains(self) -> frozenset[str]:
        return frozenset(domain.lower().rstrip(".") for domain in self.settings.domains)

    @property
    def is_on(self) -> bool:
        """
        Return whether the check is on and the target is known.
        """
        return self.settings.customers.moved_check == "on" and bool(
            self.target.cname or self.target.addresses
        )

    def applies_to(self, name: str) -> bool:
        """
        Return whether the check is on and applies to *name*.

        It does not apply to the names of the installation, wildcards, IP addresses, or names that use DNS-01.
        """
        return (
            self.is_on
            and name not in (self.target.cname, *self._main_domains)
            and not (is_wildcard(name) or is_address(name) or self.settings.dns01.uses_dns01(name))
        )

    def __call__(self, name: str) -> Whereabouts:
        """
        Return where *name* points. The check must apply to it.

        Raises:
            CertworkerError: A solver could not publish the test response.
            redis.RedisError: Redis failed.
        """
        of_alias = self._addresses_of_target()
        if of_alias is None:
            return UNKNOWN
        ours = {*self.target.addresses, *of_alias}
        quick = self.resolver.look_up_quickly(name)
        if quick is not None and self._leads_here(quick, ours):
            return HERE
        records = self.resolver.look_up(name)
        views = _definite(records)
        if any(self._leads_here(view, ours) for view in records.authoritative):
            return HERE if all(self._leads_here(view, ours) for view in views) else UNKNOWN
        if not views:
            return UNKNOWN
        addresses = in_ca_order([each for view in views for each in view.addresses])
        found = ", ".join([*views[0].aliases[-1:], *addresses]) or "no address"
        if not addresses:
            return Whereabouts(Place.ELSEWHERE, found)
        return Whereabouts(self._place_of(name, addresses, sorted(ours)), printable(found))

    def _addresses_of_target(self) -> Sequence[str] | None:
        """
        Return the addresses of the target's name; None if DNS returns none. Empty if the target has no name.
        """
        if not self.target.cname:
            return ()
        known = self._of_target.get(self.target.cname)
        if known is None:
            view = self.resolver.look_up(self.target.cname).view
            known = view.addresses if view else ()
            self._of_target.put(self.target.cname, known, TARGET_TTL_SECONDS)
        return known or None

    def _leads_here(self, view: ServerView, ours: set[str]) -> bool:
        return (bool(self.target.cname) and self.target.cname in view.aliases) or not ours.isdisjoint(
            view.addresses
        )

    def _place_of(self, name: str, addresses: Sequence[str], ours: Sequence[str]) -> Place:
        """
        Return where *name* points according to a test response over its *addresses*.
        """
        with self.published(name) as challenge:
            fetches = self._fetch(challenge, addresses)
            if any(fetch.matches(challenge.key_authorization) for fetch in fetches):
                return Place.HERE
            # Without this control, a defect of this server or of its network would look like a move.
            of_ours = self._fetch(challenge, ours)
            works = any(fetch.matches(challenge.key_authorization) for fetch in of_ours)
        if not works or not any(map(_is_foreign, fetches)):
            return Place.UNKNOWN
        known = {ip_address(each).version for each in ours}
        untested = [fetch for fetch in fetches if fetch.reply is None]
        # This server may have an address of another IP version, which the settings do not name.
        if not self.target.cname and any(each.hops[0].address.version not in known for each in untested):
            return Place.UNKNOWN
        return Place.ELSEWHERE

    def _fetch(self, challenge: Http01Challenge, addresses: Sequence[str]) -> list[Fetch]:
        probe, path = probe_for(self.settings, challenge.name), CHALLENGE_PATH + challenge.token
        parsed = [ip_address(each) for each in addresses]
        chosen: list[Address] = []
        for version in (6, 4):
            chosen += [each for each in parsed if each.version == version][:MAX_ADDRESSES]
        with ThreadPoolExecutor(len(chosen)) as threads:
            return list(threads.map(partial(probe.fetch, challenge.name, path), chosen))


def _definite(records: DnsRecords) -> tuple[ServerView, ...]:
    """
    Return the views of the authoritative servers that answered.

    Return none if a server reports an error, or if the DNSSEC validation fails.
    """
    # The answers of the other servers are definite even if one server does not answer.
    views = tuple(view for view in records.authoritative if view.error != SILENT)
    return () if records.bogus or any(view.error for view in views) else views


def _is_foreign(fetch: Fetch) -> bool:
    """
    Return whether another server has certainly replied. Behind a known CDN, or with some statuses, that is
    uncertain.
    """
    if fetch.reply is None or intermediary(fetch.reply) not in (None, *HOSTS):
        return False
    return fetch.reply.status < 500 and fetch.reply.status not in INDEFINITE
