"""
The failure behind a wrong response, with its remedy.
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

#: The two internal hops that remedies mention.
TRAEFIK = "Traefik"
APPWRITE = "Appwrite"

FAILURES: dict[FetchError, type[CertworkerError]] = {
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

#: The connection was not established.
NOT_CONNECTED = (FetchError.TIMEOUT, FetchError.REFUSED)
#: The connection was established; the next one may work.
TRANSIENT = (FetchError.RESET, FetchError.SILENT)


@dataclass(frozen=True)
class HopResult:
    """
    The response of one internal hop: the worker, Appwrite or Traefik.
    """

    title: str
    fetch: Fetch
    matches: bool


def not_connected(fetch: Fetch) -> bool:
    """
    Return whether the very first connection was not established: only then a CA tries IPv4 after IPv6.
    """
    return fetch.error in NOT_CONNECTED and len(fetch.hops) == 1


def is_certain(fetch: Fetch, hops: Sequence[HopResult]) -> bool:
    """
    Return whether a CA would get the same. A response is certain; silence may only affect this machine.
    """
    if fetch.error in NOT_CONNECTED:
        if len(fetch.hops) > 1:
            # The server at that address accepted the first connection, so a CA gets the same.
            return len({hop.address for hop in fetch.hops}) == 1
        refusing = {hop.title for hop in hops if hop.fetch.error is FetchError.REFUSED}
        # No router filters connections to a private address.
        return TRAEFIK in refusing or (
            fetch.error is FetchError.REFUSED and not is_public(fetch.hops[0].address)
        )
    if fetch.error in TRANSIENT:
        return False
    return fetch.reply is None or identify_responder(fetch.reply) is not HttpRouterUi


def diagnosis(name: str, fetch: Fetch, hops: Sequence[HopResult]) -> CertworkerError:
    """
    Return why *fetch* did not return the response for *name*, and the remedy.

    Args:
        hops: The results of the internal hops, from the worker to the public address.
    """
    failure_type, detail = _failure_type(fetch)
    holder = next((hop.title for hop in reversed(hops) if hop.matches), None)
    return _by_internal_hops(failure_type, fetch, hops)(
        name=name,
        address=fetch.hops[-1 if failure_type is Ipv6Unreachable else 0].address,
        detail=f"{detail}; {holder} has the answer" if holder else detail,
        inside=holder,
    )


def _failure_type(fetch: Fetch) -> tuple[type[CertworkerError], str]:
    if fetch.reply:
        detail = describe_response(fetch.reply)
        failure_type = identify_responder(fetch.reply)
        return failure_type, f"{fetch.hops[-1].url}: {detail}" if len(fetch.hops) > 1 else detail
    error = fetch.error or FetchError.UNREACHABLE
    detail = fetch.detail or error.value
    if len(fetch.hops) == 1 or error not in NOT_CONNECTED:
        return FAILURES[error], detail
    if fetch.hops[-1].address.version == 6 != fetch.hops[0].address.version:
        return Ipv6Unreachable, detail
    url = fetch.hops[-1].url
    if url.startswith("https:"):
        return HttpRedirectClosed, detail
    return HttpRedirectBad, f"{fetch.hops[-2].url} redirects to {url}: {error.value}"


def _by_internal_hops(
    failure_type: type[CertworkerError], fetch: Fetch, hops: Sequence[HopResult]
) -> type[CertworkerError]:
    matches = {hop.title: hop.matches for hop in hops}
    if not_connected(fetch):
        return HttpHairpin if matches.get(TRAEFIK) else failure_type
    if failure_type not in (HttpNotFound, HttpTraefikNoRoute):
        return failure_type
    if matches.get(TRAEFIK):
        return AnotherServer
    if matches.get(APPWRITE) is False:
        return NotShared
    return (
        NotRouted
        if failure_type is HttpNotFound and matches.get(TRAEFIK) is False and any(matches.values())
        else failure_type
    )
