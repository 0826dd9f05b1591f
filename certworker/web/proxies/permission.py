"""
Whether a proxy may serve a name: certworker knows it, or a rule of the settings allows it.

A visitor chooses the name, so an unknown name costs no job, no record and no order. certworker requests
a certificate for an allowed name only if the call has the parameter `request`.
"""

from __future__ import annotations

import logging
from collections import Counter
from threading import Lock
from typing import Literal

from redis.exceptions import RedisError

from certworker.dashboard.actions import Actions
from certworker.dashboard.sources import Sources
from certworker.domains import covering_wildcard, is_address, is_wildcard, normalize
from certworker.errors import CertworkerError, printable
from certworker.ttl_cache import TtlCache
from certworker.web.api.rate_limit import RateLimit
from certworker.web.proxies.certificate import name_in
from certworker.web.proxies.platform import Platform

logger = logging.getLogger(__name__)

Verdict = Literal["known", "allowed", "unknown"]

#: How many calls to the platform, and new requests, a caller may cause: per second, and at the same time.
PLATFORM_CALLS = (20.0, 200)
NEW_REQUESTS = (1.0, 100)

#: A repeated call within this time does not request the same name again.
REQUESTED_SECONDS = 300.0

MOST_CALLERS = 1_000


class TooManyUnknownNames(Exception):
    """
    A caller sends too many new names.

    Attributes:
        seconds: The seconds to wait.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__("The proxy sends too many new names.")
        self.seconds = seconds


class Permission:
    """
    Decides about names, counts the unknown ones from each caller, and requests certificates for allowed
    ones.
    """

    def __init__(self) -> None:
        self._platform = Platform()
        self._platform_calls = RateLimit(per_second=PLATFORM_CALLS[0], burst=PLATFORM_CALLS[1])
        self._new_requests = RateLimit(per_second=NEW_REQUESTS[0], burst=NEW_REQUESTS[1])
        self._requested: TtlCache[str, bool] = TtlCache()
        self._unknown: Counter[str] = Counter()
        self._lock = Lock()

    def check(self, sources: Sources, text: str, caller: str) -> Verdict:
        """
        Return whether the name in *text* is known, allowed by a rule, or unknown.

        Args:
            sources: The settings, the volume and the agenda.
            text: The name as a visitor sent it.
            caller: The token and the address, for the limit of calls and the count of unknown names.

        Raises:
            PlatformUnavailable: Only the platform can decide, and it fails, or too many calls are waiting.
            TooManyUnknownNames: Only the platform can decide, and the caller causes too many calls.
            VolumeReadOnly, VolumeFault: The volume cannot be read.
            redis.RedisError: Redis failed, and no suffix allows the name.
        """
        name = name_in(text)
        if name and _is_served(sources, name):
            return "known"
        has_suffix = bool(name) and _has_allowed_suffix(sources, str(name))
        try:
            if name and name in sources.agenda:
                return "known"
        except RedisError:
            # A suffix allows the name without Redis.
            if not has_suffix:
                raise
        if has_suffix or (name and self._is_allowed_by_platform(sources, name, caller)):
            return "allowed"
        self._count(text, caller)
        return "unknown"

    def request(self, actions: Actions, text: str, caller: str, *, by: str) -> bool:
        """
        Request a certificate for the allowed name in *text*; return whether this call requested it.

        Raises:
            TooManyUnknownNames: The caller requests too many new names.
            CertworkerError: The name is invalid.
            redis.RedisError: Redis failed.
        """
        name = normalize(text, private=True)
        if self._requested.get(name):
            return False
        if seconds := self._new_requests.wait_of(caller):
            raise TooManyUnknownNames(seconds)
        actions.request([name], by=by)
        self._requested.put(name, True, REQUESTED_SECONDS)
        return True

    def _is_allowed_by_platform(self, sources: Sources, name: str, caller: str) -> bool:
        url = sources.settings.customers.ask_allow.url
        if not url or not _is_possible(sources, name):
            return False
        if seconds := self._platform_calls.wait_of(caller):
            raise TooManyUnknownNames(seconds)
        return self._platform.allows(url, name)

    def _count(self, text: str, caller: str) -> None:
        with self._lock:
            if caller not in self._unknown and len(self._unknown) >= MOST_CALLERS:
                self._unknown.clear()
            self._unknown[caller] += 1
            count = self._unknown[caller]
        # The log has the first unknown name, the tenth, the hundredth, and so on.
        if str(count).strip("0") == "1":
            logger.info(
                "%s sent unknown names: %d; the last one is %s",
                caller,
                count,
                printable(text, 100),
                extra={"event": "ask"},
            )


def _is_served(sources: Sources, name: str) -> bool:
    links = sources.certificates.links
    return any(links.target_of(candidate) for candidate in filter(None, (name, covering_wildcard(name))))


def _has_allowed_suffix(sources: Sources, name: str) -> bool:
    return sources.settings.customers.ask_allow.has_suffix_of(name) and _is_possible(sources, name)


def _is_possible(sources: Sources, name: str) -> bool:
    # No visitor sends a wildcard, and a platform knows its customers by name, not by address.
    if is_wildcard(name) or is_address(name):
        return False
    try:
        return normalize(name, private=sources.settings.authority.private_names) == name
    except CertworkerError:
        return False
