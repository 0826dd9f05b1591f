"""
What is wrong on the way to the answer: from journeys that did not bring it to a failure with its remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from certworker.checks.addresses import is_public
from certworker.checks.exchange import Trouble
from certworker.checks.probe import Journey
from certworker.checks.stranger import described, recognised
from certworker.errors import CertworkerError
from certworker.errors.authority import TlsProblem
from certworker.errors.checks import (
    AnotherServer,
    HttpHairpin,
    HttpRouterUi,
    HttpTraefikEmpty,
    NotRouted,
    NotShared,
)
from certworker.errors.reach import (
    HttpNotFound,
    HttpOn443,
    HttpRedirectBad,
    HttpRedirectClosed,
    HttpRedirectLoop,
    HttpRefused,
    HttpReset,
    HttpSlow,
    HttpsOn80,
    HttpTimeout,
    Ipv6Unreachable,
)

#: The two stations on our side of the way that have a name of their own in a remedy.
TRAEFIK = "Traefik"
APPWRITE = "Appwrite"

TROUBLES: dict[Trouble, type[CertworkerError]] = {
    Trouble.TIMEOUT: HttpTimeout,
    Trouble.REFUSED: HttpRefused,
    Trouble.RESET: HttpReset,
    Trouble.SILENT: HttpSlow,
    Trouble.NOT_HTTP: HttpsOn80,
    Trouble.NOT_TLS: HttpOn443,
    Trouble.BAD_TLS: TlsProblem,
    Trouble.BAD_REDIRECT: HttpRedirectBad,
    Trouble.LOOP: HttpRedirectLoop,
}

#: Nobody took the connection.
NOT_TAKEN = (Trouble.TIMEOUT, Trouble.REFUSED)
#: It was taken; what happened then may not happen to the next one.
PASSING = (Trouble.RESET, Trouble.SILENT)


@dataclass(frozen=True)
class Station:
    """
    What came of the same question on our side of the way: at the worker's port, at Appwrite, at Traefik.
    """

    title: str
    journey: Journey
    brings: bool


def not_taken(journey: Journey) -> bool:
    """
    Whether nobody took the very first connection: only then a CA tries IPv4 after IPv6.
    """
    return journey.trouble in NOT_TAKEN and len(journey.stops) == 1


def is_certain(journey: Journey, stations: Sequence[Station]) -> bool:
    """
    Whether a CA would meet the same: an answer is an answer, but a silence may be one towards us only.
    """
    if journey.trouble in NOT_TAKEN:
        if len(journey.stops) > 1:
            # Who took our first connection at the same address would take this one, too.
            return len({stop.address for stop in journey.stops}) == 1
        refused = {station.title for station in stations if station.journey.trouble is Trouble.REFUSED}
        # No router stands between us and a private address.
        return TRAEFIK in refused or (
            journey.trouble is Trouble.REFUSED and not is_public(journey.stops[0].address)
        )
    if journey.trouble in PASSING:
        return False
    return journey.reply is None or recognised(journey.reply) is not HttpRouterUi


def diagnosis(name: str, journey: Journey, stations: Sequence[Station]) -> CertworkerError:
    """
    Why *journey* did not bring the answer for *name*, and what to change.

    Args:
        stations: Those of our side that could be asked, from the inside out.
    """
    kind, detail = _met(journey)
    holder = next((station.title for station in reversed(stations) if station.brings), None)
    return _from_inside(kind, journey, stations)(
        name=name,
        address=journey.stops[-1 if kind is Ipv6Unreachable else 0].address,
        detail=f"{detail}; {holder} has the answer" if holder else detail,
        inside=holder,
    )


def _met(journey: Journey) -> tuple[type[CertworkerError], str]:
    if journey.reply:
        detail = described(journey.reply)
        kind = recognised(journey.reply)
        return kind, f"{journey.stops[-1].url}: {detail}" if len(journey.stops) > 1 else detail
    trouble = journey.trouble or Trouble.NO_WAY
    detail = journey.detail or trouble.value
    if len(journey.stops) == 1 or trouble not in NOT_TAKEN:
        return TROUBLES[trouble], detail
    if journey.stops[-1].address.version == 6 != journey.stops[0].address.version:
        return Ipv6Unreachable, detail
    url = journey.stops[-1].url
    if url.startswith("https:"):
        return HttpRedirectClosed, detail
    return HttpRedirectBad, f"{journey.stops[-2].url} redirects to {url}, where {trouble.value}"


def _from_inside(
    kind: type[CertworkerError], journey: Journey, stations: Sequence[Station]
) -> type[CertworkerError]:
    brings = {station.title: station.brings for station in stations}
    if not_taken(journey):
        return HttpHairpin if brings.get(TRAEFIK) else kind
    if kind not in (HttpNotFound, HttpTraefikEmpty):
        return kind
    if brings.get(TRAEFIK):
        return AnotherServer
    if brings.get(APPWRITE) is False:
        return NotShared
    return (
        NotRouted if kind is HttpNotFound and brings.get(TRAEFIK) is False and any(brings.values()) else kind
    )
