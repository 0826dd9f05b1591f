"""
What is wrong on the way to the answer: from journeys that did not bring it to a failure with its remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from certworker.domains.address import is_public
from certworker.errors import CertworkerError
from certworker.errors.acme import TlsProblem
from certworker.errors.dns import Ipv6Unreachable
from certworker.errors.http import (
    AnotherServer,
    HttpHairpin,
    HttpNotFound,
    HttpOn443,
    HttpRedirectBad,
    HttpRedirectClosed,
    HttpRedirectLoop,
    HttpRefused,
    HttpReset,
    HttpRouterUi,
    HttpSlow,
    HttpsOn80,
    HttpTimeout,
    HttpTraefikNoRoute,
    NotRouted,
    NotShared,
)
from certworker.preflight.port80.fingerprint import describe_response, identify_responder
from certworker.preflight.port80.http_get import FetchError
from certworker.preflight.port80.probe import Fetch

#: The two stations on our side of the way that have a name of their own in a remedy.
TRAEFIK = "Traefik"
APPWRITE = "Appwrite"

TROUBLES: dict[FetchError, type[CertworkerError]] = {
    FetchError.TIMEOUT: HttpTimeout,
    FetchError.REFUSED: HttpRefused,
    FetchError.RESET: HttpReset,
    FetchError.SILENT: HttpSlow,
    FetchError.NOT_HTTP: HttpsOn80,
    FetchError.NOT_TLS: HttpOn443,
    FetchError.BAD_TLS: TlsProblem,
    FetchError.BAD_REDIRECT: HttpRedirectBad,
    FetchError.LOOP: HttpRedirectLoop,
}

#: Nobody took the connection.
NOT_TAKEN = (FetchError.TIMEOUT, FetchError.REFUSED)
#: It was taken; what happened then may not happen to the next one.
PASSING = (FetchError.RESET, FetchError.SILENT)


@dataclass(frozen=True)
class HopResult:
    """
    What came of the same question on our side of the way: at the worker's port, at Appwrite, at Traefik.
    """

    title: str
    fetch: Fetch
    matches: bool


def not_taken(journey: Fetch) -> bool:
    """
    Whether nobody took the very first connection: only then a CA tries IPv4 after IPv6.
    """
    return journey.error in NOT_TAKEN and len(journey.hops) == 1


def is_certain(journey: Fetch, stations: Sequence[HopResult]) -> bool:
    """
    Whether a CA would meet the same: an answer is an answer, but a silence may be one towards us only.
    """
    if journey.error in NOT_TAKEN:
        if len(journey.hops) > 1:
            # Who took our first connection at the same address would take this one, too.
            return len({stop.address for stop in journey.hops}) == 1
        refused = {station.title for station in stations if station.fetch.error is FetchError.REFUSED}
        # No router stands between us and a private address.
        return TRAEFIK in refused or (
            journey.error is FetchError.REFUSED and not is_public(journey.hops[0].address)
        )
    if journey.error in PASSING:
        return False
    return journey.reply is None or identify_responder(journey.reply) is not HttpRouterUi


def diagnosis(name: str, journey: Fetch, stations: Sequence[HopResult]) -> CertworkerError:
    """
    Why *journey* did not bring the answer for *name*, and what to change.

    Args:
        stations: Those of our side that could be asked, from the inside out.
    """
    kind, detail = _met(journey)
    holder = next((station.title for station in reversed(stations) if station.matches), None)
    return _from_inside(kind, journey, stations)(
        name=name,
        address=journey.hops[-1 if kind is Ipv6Unreachable else 0].address,
        detail=f"{detail}; {holder} has the answer" if holder else detail,
        inside=holder,
    )


def _met(journey: Fetch) -> tuple[type[CertworkerError], str]:
    if journey.reply:
        detail = describe_response(journey.reply)
        kind = identify_responder(journey.reply)
        return kind, f"{journey.hops[-1].url}: {detail}" if len(journey.hops) > 1 else detail
    trouble = journey.error or FetchError.UNREACHABLE
    detail = journey.detail or trouble.value
    if len(journey.hops) == 1 or trouble not in NOT_TAKEN:
        return TROUBLES[trouble], detail
    if journey.hops[-1].address.version == 6 != journey.hops[0].address.version:
        return Ipv6Unreachable, detail
    url = journey.hops[-1].url
    if url.startswith("https:"):
        return HttpRedirectClosed, detail
    return HttpRedirectBad, f"{journey.hops[-2].url} redirects to {url}, where {trouble.value}"


def _from_inside(
    kind: type[CertworkerError], journey: Fetch, stations: Sequence[HopResult]
) -> type[CertworkerError]:
    brings = {station.title: station.matches for station in stations}
    if not_taken(journey):
        return HttpHairpin if brings.get(TRAEFIK) else kind
    if kind not in (HttpNotFound, HttpTraefikNoRoute):
        return kind
    if brings.get(TRAEFIK):
        return AnotherServer
    if brings.get(APPWRITE) is False:
        return NotShared
    return (
        NotRouted if kind is HttpNotFound and brings.get(TRAEFIK) is False and any(brings.values()) else kind
    )
